package stompgate.beside;

import static java.util.stream.Collectors.joining;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.TreeMap;
import java.util.UUID;
import java.util.stream.Stream;

/** Requests, and their answers as frames: `HTTP`, the status among its headers. */
final class Http {
    private static final Duration ANSWER = Duration.ofSeconds(15);
    private static final HttpClient CLIENT = HttpClient.newHttpClient();
    private static final List<String> COMPARED = List.of("access-control-allow-credentials",
        "access-control-allow-origin", "access-control-max-age", "cache-control", "content-type", "set-cookie");
    private static final List<String> OF_REFUSALS = List.of("allow", "sec-websocket-version");

    /** `GET /path name:value | body`, in which `~` is a session of its own. */
    static List<Frame> exchange(String base, String line) throws Exception {
        var parts = line.replace("~", UUID.randomUUID().toString()).split(" \\| ", 2);
        var words = parts[0].split(" ");
        var path = words.length > 1 ? words[1] : "";
        var request = HttpRequest.newBuilder(URI.create(base + path)).timeout(ANSWER)
            .method(words[0], parts.length > 1 ? BodyPublishers.ofString(parts[1]) : BodyPublishers.noBody());
        for (int i = 2; i < words.length; i++) {
            var header = words[i].split(":", 2);
            request.header(header[0], header[1]);
        }
        return List.of(frame(CLIENT.send(request.build(), BodyHandlers.ofString())));
    }

    private static Frame frame(HttpResponse<String> response) {
        var isRefused = response.statusCode() >= 400;
        var headers = new TreeMap<String, String>();
        headers.put("status", "" + response.statusCode());
        for (var name : isRefused ? OF_REFUSALS : COMPARED) {
            response.headers().firstValue(name).ifPresent(it -> headers.put(name, it.replace("; ", ";")));
        }
        headers.computeIfPresent("allow", (name, it) -> Stream.of(it.split(", ?")).sorted().collect(joining(",")));
        var isForPeople = isRefused || headers.getOrDefault("content-type", "").startsWith("text/html");
        var body = response.body().replaceFirst("\"entropy\":-?\\d+", "\"entropy\":*");
        return new Frame("HTTP", headers, isForPeople ? "" : body);
    }
}
