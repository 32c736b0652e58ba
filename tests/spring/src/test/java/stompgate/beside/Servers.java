package stompgate.beside;

import static java.util.concurrent.TimeUnit.SECONDS;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.util.concurrent.CountDownLatch;

import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ApplicationListener;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.messaging.simp.broker.BrokerAvailabilityEvent;
import stompgate.Handlers;
import stompgate.app.RelayApplication;

/** A Spring application in front of RabbitMQ, and the gateway of STOMPGATE_TEST_URL with the same handlers. */
final class Servers implements AutoCloseable {
    private static final int START_SECONDS = 60;

    final Server spring;
    final Server gateway;
    private final ConfigurableApplicationContext application;
    private final Handlers handlers = new Handlers();

    Servers() throws Exception {
        var broker = URI.create("stomp://" + env("STOMPGATE_TEST_STOMP"));
        var isAvailable = new CountDownLatch(1);
        application = new SpringApplicationBuilder(RelayApplication.class)
            .listeners((ApplicationListener<BrokerAvailabilityEvent>) it -> isAvailable.countDown())
            .properties("server.address=127.0.0.1", "server.port=0", "relay.host=" + broker.getHost(),
                "relay.port=" + broker.getPort(), "logging.level.root=off", "spring.main.banner-mode=off")
            .run();
        assertTrue(isAvailable.await(START_SECONDS, SECONDS), "Spring's relay has reached RabbitMQ");
        var port = application.getEnvironment().getRequiredProperty("local.server.port", Integer.class);
        spring = new Server(true, "127.0.0.1", port);
        var url = URI.create(env("STOMPGATE_TEST_URL"));
        gateway = new Server(false, url.getHost(), url.getPort());
    }

    @Override
    public void close() {
        application.close();
        handlers.close();
    }

    private static String env(String name) {
        var value = System.getenv(name);
        assertTrue(value != null, name + " is set; see run.sh");
        return value;
    }
}
