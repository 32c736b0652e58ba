package stompgate.beside;

import static java.util.stream.Collectors.joining;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.TreeMap;
import java.util.UUID;
import java.util.stream.Stream;

/** Requests below the endpoint, and their answers as frames: `HTTP`, the status among its headers. */
final class Http {
    private static final Duration ANSWER = Duration.ofSeconds(15);
    private static final HttpClient CLIENT = HttpClient.newHttpClient();
    private static final List<String> COMPARED = List.of("access-control-allow-credentials", "access-control-allow-origin",
        "access-control-max-age", "cache-control", "content-type", "set-cookie");
    private static final List<String> OF_REFUSALS = List.of("allow", "sec-websocket-version");

    /** `GET /path name:value | body`, in which `~` is a session of its own. */
    static List<Frame> exchange(Server server, String line) throws Exception {
        var own = UUID.randomUUID().toString();
        var parts = line.replace("~", own).split(" \\| ", 2);
        var words = parts[0].split(" ");
        var request = HttpRequest.newBuilder(URI.create(server.http() + (words.length > 1 ? words[1] : ""))).timeout(ANSWER)
            .method(words[0], parts.length > 1 ? BodyPublishers.ofString(parts[1]) : BodyPublishers.noBody());
        for (int i = 2; i < words.length; i++) {
            var header = words[i].split(":", 2);
            request.header(header[0], header[1]);
        }
        var response = CLIENT.send(request.build(), BodyHandlers.ofString());
        var headers = new TreeMap<String, String>();
        headers.put("status", "" + response.statusCode());
        // What a refusal says is for people.
        var isRefused = response.statusCode() >= 400;
        for (var name : isRefused ? OF_REFUSALS : COMPARED) response.headers().firstValue(name).ifPresent(it -> headers.put(name, it));
        headers.computeIfPresent("allow", (name, methods) -> Stream.of(methods.split(", ?")).sorted().collect(joining(",")));
        var body = isRefused ? "" : response.body().replaceFirst("\"entropy\":-?\\d+", "\"entropy\":*");
        return List.of(new Frame("HTTP", headers, body));
    }
}
