package stompgate.beside;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** What tells two answers apart, each difference in a line: what Spring's client saw, then that of the gateway. */
final class Differences {
    private static final String ABSENT = "-";
    private static final List<Frame> NONE = List.of();

    private final List<String> found = new ArrayList<>();

    static List<String> between(List<Frame> spring, List<Frame> gateway) {
        var differences = new Differences();
        var theirs = byCommand(spring);
        var ours = byCommand(gateway);
        var commands = new TreeSet<>(theirs.keySet());
        commands.addAll(ours.keySet());
        for (var command : commands) {
            differences.compare(command, theirs.getOrDefault(command, NONE), ours.getOrDefault(command, NONE));
        }
        return differences.found;
    }

    /** Those of one kind keep their order; a MESSAGE and the RECEIPT of its SEND come in either. */
    private static Map<String, List<Frame>> byCommand(List<Frame> frames) {
        var groups = new LinkedHashMap<String, List<Frame>>();
        for (var frame : frames) groups.computeIfAbsent(frame.command(), it -> new ArrayList<>()).add(frame);
        return groups;
    }

    private void compare(String command, List<Frame> spring, List<Frame> gateway) {
        if (spring.size() != gateway.size()) {
            add(command, "frames", "" + spring.size(), "" + gateway.size());
            return;
        }
        for (int i = 0; i < spring.size(); i++) compare(spring.get(i), gateway.get(i));
    }

    private void compare(Frame spring, Frame gateway) {
        var names = new TreeSet<>(spring.headers().keySet());
        names.addAll(gateway.headers().keySet());
        for (var name : names) {
            add(spring.command(), name, value(spring, name), value(gateway, name));
        }
        add(spring.command(), "body", body(spring), body(gateway));
    }

    /** The length of a body that is compared anyway says only whether the header is there. */
    private static String value(Frame frame, String name) {
        var value = frame.headers().getOrDefault(name, ABSENT);
        return name.equals("content-length") && !value.equals(ABSENT) && !value.equals("0") ? "*" : value;
    }

    /** The body of an ERROR is for people. */
    private static String body(Frame frame) {
        if (frame.command().equals("ERROR")) return frame.body().isBlank() ? "none" : "text";
        return frame.body();
    }

    private void add(String command, String what, String spring, String gateway) {
        if (!spring.equals(gateway)) found.add(command + " " + what + ": " + spring + " -> " + gateway);
    }
}
