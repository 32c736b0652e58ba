#!/usr/bin/env bash
# Each row of docs/protocol/rabbitmq.md and docs/protocol/sockjs.md is held by a test, or says in its last cell why the
# gateway differs, or why there is nothing to test:
#
#     | A1 | ... | `name_of_a_test`, `title of a test in Node`; deviation: the reason |
#     | N1 | ... | no test: the reason |
#
# Prints the rows for which that is not so; they are work to do.
set -euo pipefail
cd "$(dirname "$0")/.."

rabbitmq=(Z{1..5} F{1..21} C{1..20} W{1..13} D{1..5} D{10..18} D20 D30 D31 D{40..55} A{1..18} P{1,2} RC{1..10} T{1..9} U{1..9}
    B{1..3} E{1..25} E{27..30} E32 E33 G{1..27})
sockjs=(S{1..102} T{1..13} N{1..9} P{1..27})

# What a row can cite. A case of the contract suite that RabbitMQ is not held to proves nothing here.
tests() {
    {
        # A function below an attribute that makes it a test, or a case of the contract suite.
        find src tests -name '*.rs' -exec awk '
            /^ *#\[(tokio::)?test/ { is_test = 1 }
            match($0, /fn [a-z0-9_]+/) { if (is_test) print substr($0, RSTART + 3, RLENGTH - 3); is_test = 0 }
        ' {} +
        sed -nE 's/^ *[a-z]+: ([a-z0-9_]+)[,;].*/\1/p' tests/it/broker_contract/mod.rs
        grep -rhoE 'def test_[a-z0-9_]+' --include='*.py' tests/clients | sed 's/^def //'
        grep -rhoE "^ *test\((['\`]).*\1, " --include='*.test.js' tests/clients tests/browser | sed -E "s/^ *test\(.//; s/., $//"
        grep -rhA3 '^ *@Test$' --include='*.java' tests/spring | sed -nE 's/^ *void ([A-Za-z0-9]+)\(.*/\1/p'
        sed -n 's/^=== //p' tests/fixtures/stomp/*
    } | grep -vxF "$(grep -rhoE '[a-z0-9_]+, not on amqp' tests/it/broker_contract | sed 's/,.*//')"
}

known=$(tests)

# The rows of one page.
check() {
    awk -F '|' -v rows="${*:2}" -v page="$1" '
        function fault(id, text) {
            print page ": " id " " text
            faults++
        }

        FNR == NR { known[$0]; next }

        $2 == " id " { columns = NF }

        $2 ~ /^ [A-Z]+[0-9]+ $/ {
            id = $2
            gsub(/ /, "", id)
            if (seen[id]++) fault(id, "is there twice")
            if (NF != columns) fault(id, "has not the cells of its table")
            cell = $(NF - 1)
            differs = match(cell, /(deviation|no test): ./)
            pieces = split(differs ? substr(cell, 1, RSTART - 1) : cell, cited, "`")
            for (i = 2; i <= pieces; i += 2)
                if (!(cited[i] in known)) fault(id, "cites `" cited[i] "`, which is no test, or none that runs on RabbitMQ")
            if (pieces > 1) held++
            if (differs) reasons++
            if (pieces < 2 && !differs) fault(id, "has neither a test nor a reason")
            count++
        }

        END {
            expected = split(rows, ids, " ")
            for (i = 1; i <= expected; i++) if (!seen[ids[i]]) fault(ids[i], "is missing")
            if (faults) exit 1
            print page ": " count " rows, " held " held by tests, " reasons " with a reason"
        }
    ' <(echo "$known") "$1"
}

failed=0
check docs/protocol/rabbitmq.md "${rabbitmq[@]}" || failed=1
check docs/protocol/sockjs.md "${sockjs[@]}" || failed=1
exit "$failed"
