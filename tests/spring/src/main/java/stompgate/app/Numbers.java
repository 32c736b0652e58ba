package stompgate.app;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.springframework.messaging.handler.annotation.Header;
import org.springframework.messaging.handler.annotation.MessageExceptionHandler;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.simp.annotation.SendToUser;
import org.springframework.messaging.simp.annotation.SubscribeMapping;
import org.springframework.stereotype.Controller;

/** What stompgate.Handlers is for the gateway, as a controller. */
@Controller
class Numbers {
    private final Map<String, Integer> sums = new ConcurrentHashMap<>();

    @MessageMapping("/increment")
    String increment(String number) {
        return "" + (Integer.parseInt(number) + 1);
    }

    @MessageMapping("/nothing")
    void nothing() {}

    @MessageMapping("/sum")
    @SendToUser("/queue/sum")
    String sum(String number, @Header("simpSessionId") String session) {
        return "" + sums.merge(session, Integer.parseInt(number), Integer::sum);
    }

    @MessageMapping("/mine")
    @SendToUser(destinations = "/queue/mine", broadcast = false)
    String mine(String text) {
        return text;
    }

    @MessageMapping("/bad")
    void bad() {
        throw new IllegalArgumentException("Bad input");
    }

    @SubscribeMapping("/number")
    String number() {
        return "42";
    }

    @MessageExceptionHandler
    @SendToUser("/queue/error")
    String error(IllegalArgumentException error) {
        return "Got error: " + error.getMessage();
    }
}
