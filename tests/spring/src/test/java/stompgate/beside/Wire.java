package stompgate.beside;

import static java.util.concurrent.TimeUnit.NANOSECONDS;
import static java.util.concurrent.TimeUnit.SECONDS;

import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.function.Predicate;

/** A WebSocket that says what it is told to, and keeps what it hears. */
final class Wire implements WebSocket.Listener, AutoCloseable {
    private static final int ANSWER_SECONDS = 15;
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    private final WebSocket socket;
    private final List<Frame> frames = new ArrayList<>();
    private final StringBuilder text = new StringBuilder();
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    Wire(String url, String... protocols) throws Exception {
        var builder = HTTP.newWebSocketBuilder();
        if (protocols.length > 0) {
            builder.subprotocols(protocols[0], List.of(protocols).subList(1, protocols.length).toArray(new String[0]));
        }
        socket = inTime(builder.buildAsync(URI.create(url), this));
    }

    String protocol() {
        return socket.getSubprotocol();
    }

    /** The server may have closed meanwhile; then its close comes. */
    void sendIfOpen(String message) throws Exception {
        try {
            inTime(socket.sendText(message, true));
        } catch (ExecutionException e) {
            until(frames -> false);
        }
    }

    /** Everything so far, once there is as much as wanted, or the end. */
    synchronized List<Frame> until(Predicate<List<Frame>> isEnough) throws Exception {
        var deadline = System.nanoTime() + SECONDS.toNanos(ANSWER_SECONDS);
        while (!isEnough.test(frames) && !isClosed(frames)) {
            var left = NANOSECONDS.toMillis(deadline - System.nanoTime());
            if (left <= 0) throw new TimeoutException("received " + frames);
            wait(left);
        }
        return List.copyOf(frames);
    }

    static boolean isClosed(List<Frame> frames) {
        return !frames.isEmpty() && frames.get(frames.size() - 1).command().equals(Frame.CLOSE);
    }

    @Override
    public synchronized CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
        text.append(part);
        if (last) {
            add(text.toString(), false);
            text.setLength(0);
        }
        socket.request(1);
        return null;
    }

    @Override
    public synchronized CompletionStage<?> onBinary(WebSocket socket, ByteBuffer part, boolean last) {
        while (part.hasRemaining()) bytes.write(part.get());
        if (last) {
            add(bytes.toString(StandardCharsets.UTF_8), true);
            bytes.reset();
        }
        socket.request(1);
        return null;
    }

    /** Heart-beats have no body, and come when they come. */
    private void add(String message, boolean isBinary) {
        if (message.isBlank()) return;
        frames.add(Frame.parse(message, isBinary));
        notifyAll();
    }

    @Override
    public synchronized CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
        frames.add(Frame.close(code));
        notifyAll();
        return null;
    }

    @Override
    public synchronized void onError(WebSocket socket, Throwable error) {
        // As a browser has it, when there was no close.
        frames.add(Frame.close(1006));
        notifyAll();
    }

    @Override
    public void close() {
        socket.abort();
    }

    private static <T> T inTime(CompletableFuture<T> answer) throws Exception {
        return answer.get(ANSWER_SECONDS, SECONDS);
    }
}
