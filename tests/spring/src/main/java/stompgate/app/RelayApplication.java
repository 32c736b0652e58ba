package stompgate.app;

import org.springframework.boot.autoconfigure.SpringBootApplication;

/** What stompgate takes the place of: Spring in front of RabbitMQ, as its documentation sets it up. */
@SpringBootApplication
public class RelayApplication {}
