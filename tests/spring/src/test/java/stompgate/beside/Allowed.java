package stompgate.beside;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** The table of differences.md. */
final class Allowed {
    private static final String TABLE = "/differences.md";
    private static final String EVERY_DIALOGUE = "*";

    private final List<Row> rows = read();
    private final Set<Row> used = new HashSet<>();
    private final Set<String> dialogues = new HashSet<>(Set.of(EVERY_DIALOGUE));

    record Row(String dialogue, String difference) {
        private boolean isAbout(String dialogue, String difference) {
            return List.of(EVERY_DIALOGUE, dialogue).contains(this.dialogue) && this.difference.equals(difference);
        }
    }

    /** Those that no row allows. */
    List<String> faults(String dialogue, List<String> differences) {
        dialogues.add(dialogue);
        var faults = new ArrayList<String>();
        for (var difference : differences) {
            var about = rows.stream().filter(it -> it.isAbout(dialogue, difference)).toList();
            if (about.isEmpty()) faults.add(dialogue + " | " + difference);
            used.addAll(about);
        }
        return faults;
    }

    /** Those rows of which nothing was seen, although their dialogue was had. */
    List<Row> unused() {
        return rows.stream().filter(it -> dialogues.contains(it.dialogue) && !used.contains(it)).toList();
    }

    private static List<Row> read() {
        try (var table = Allowed.class.getResourceAsStream(TABLE)) {
            var rows = new ArrayList<Row>();
            for (var line : new String(table.readAllBytes(), StandardCharsets.UTF_8).lines().toList()) {
                if (!line.startsWith("| `")) continue;
                var cells = line.split("(?<!\\\\)\\|");
                for (var difference : cells[2].split("<br>")) rows.add(new Row(text(cells[1]), text(difference)));
            }
            return rows;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Without the marks of code. */
    private static String text(String cell) {
        return cell.strip().replaceAll("^`|`$", "").replace("\\|", "|");
    }
}
