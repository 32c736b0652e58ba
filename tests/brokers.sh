#!/bin/sh
# Runs a private STOMP broker for the tests: own folder, data and port, on loopback. RabbitMQ's plugin is another one:
# tests/rabbitmq.sh.
#
#   tests/brokers.sh start activemq DIR PORT   starts ActiveMQ Classic, waits until it accepts connections, prints host:port
#   tests/brokers.sh start artemis DIR PORT    the same with ActiveMQ Artemis
#   tests/brokers.sh restart DIR               starts it again on its data, and waits
#   tests/brokers.sh stop DIR                  stops it and removes its data
#   DIR/broker.pid                             the process to send signals to
#
# Both know guest with the passcode guest, and ann with s3cret. Their archives come once through Maven, and are kept below
# target/brokers.
set -eu

activemq_version=5.18.3
artemis_version=2.40.0
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${CARGO_TARGET_DIR:-$root/target}/brokers

usage() {
    sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
    exit 64
}

# Prints where the archive is unpacked.
fetch() {
    artifact=$1
    version=$2
    home=$cache/$artifact-$version
    if [ ! -d "$home" ]; then
        if ! command -v mvn >/dev/null || ! command -v java >/dev/null; then
            echo "Maven or Java is missing: apt-get install maven default-jre-headless" >&2
            exit 69
        fi
        mkdir -p "$cache"
        archive=$cache/$artifact-$version-bin.tar.gz
        if [ ! -f "$archive" ]; then
            (cd "$cache" && mvn --quiet --batch-mode dependency:copy -DoutputDirectory=. \
                -Dartifact="org.apache.activemq:$artifact:$version:tar.gz:bin") >&2
        fi
        # Whole or not at all, also when somebody else unpacks it.
        unpacked=$(mktemp -d "$cache/unpacked.XXXXXX")
        tar -xzf "$archive" -C "$unpacked"
        mv "$unpacked/$artifact-$version" "$home" 2>/dev/null || true
        rm -rf "$unpacked"
    fi
    echo "$home"
}

make_activemq() {
    home=$(fetch apache-activemq "$activemq_version")
    mkdir -p "$dir/conf" "$dir/data"
    cat >"$dir/conf/activemq.xml" <<END
<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.springframework.org/schema/beans
        http://www.springframework.org/schema/beans/spring-beans.xsd
        http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="stompgate" dataDirectory="$dir/data" useJmx="false"
      schedulePeriodForDestinationPurge="0">
    <persistenceAdapter><kahaDB directory="$dir/data/kahadb" journalMaxFileLength="4mb"/></persistenceAdapter>
    <plugins>
      <simpleAuthenticationPlugin>
        <users>
          <authenticationUser username="guest" password="guest" groups="users"/>
          <authenticationUser username="ann" password="s3cret" groups="users"/>
        </users>
      </simpleAuthenticationPlugin>
    </plugins>
    <systemUsage>
      <systemUsage>
        <memoryUsage><memoryUsage limit="128 mb"/></memoryUsage>
        <storeUsage><storeUsage limit="256 mb"/></storeUsage>
        <tempUsage><tempUsage limit="64 mb"/></tempUsage>
      </systemUsage>
    </systemUsage>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:$port"/>
    </transportConnectors>
  </broker>
</beans>
END
    cp "$home/conf/log4j2.properties" "$dir/conf/"
    cat >"$dir/run" <<END
#!/bin/sh
cd "$dir"
exec java -Xmx384m -Dactivemq.home="$home" -Dactivemq.base="$dir" -Dactivemq.conf="$dir/conf" \\
    -Dactivemq.data="$dir/data" -Djava.io.tmpdir="$dir/data" --add-opens java.base/java.lang=ALL-UNNAMED \\
    -jar "$home/bin/activemq.jar" start "xbean:file:$dir/conf/activemq.xml"
END
}

make_artemis() {
    home=$(fetch apache-artemis "$artemis_version")
    "$home/bin/artemis" create "$dir/instance" --silent --name stompgate --user guest --password guest --require-login \
        --no-autotune --no-fsync --no-amqp-acceptor --no-hornetq-acceptor --no-mqtt-acceptor --no-stomp-acceptor \
        --disable-persistence >"$dir/create.log" 2>&1
    etc=$dir/instance/etc
    # What brokers tell queues and topics apart by is theirs to decide; these are the names that front ends use.
    acceptor="tcp://127.0.0.1:$port?protocols=STOMP;anycastPrefix=/queue/;multicastPrefix=/topic/"
    sed -i "s|<acceptor name=\"artemis\">.*</acceptor>|<acceptor name=\"stomp\">$acceptor</acceptor>|" "$etc/broker.xml"
    sed -i '/<web /,/<\/web>/d' "$etc/bootstrap.xml"
    # How full the disk of a machine is must not decide what its tests say.
    sed -i 's|<max-disk-usage>.*</max-disk-usage>|<max-disk-usage>100</max-disk-usage>|' "$etc/broker.xml"
    printf 'guest = guest\nann = s3cret\n' >"$etc/artemis-users.properties"
    echo 'amq = guest,ann' >"$etc/artemis-roles.properties"
    cat >"$dir/run" <<END
#!/bin/sh
cd "$dir"
export JAVA_ARGS="-Xmx384m -Dhawtio.disableProxy=true -Djava.io.tmpdir=$dir"
exec "$dir/instance/bin/artemis" run
END
}

launch() {
    : >"$dir/stdout"
    setsid "$dir/run" </dev/null >>"$dir/stdout" 2>&1 &
    echo $! >"$dir/broker.pid"
    waited=0
    until bash -c ": <>/dev/tcp/127.0.0.1/$port" 2>/dev/null; do
        waited=$((waited + 1))
        if [ "$waited" -ge 600 ] || ! kill -0 "$(cat "$dir/broker.pid")" 2>/dev/null; then
            cat "$dir/stdout" >&2
            stop "$dir"
            exit 70
        fi
        sleep 0.1
    done
}

start() {
    kind=$1
    mkdir -p "$2"
    dir=$(cd "$2" && pwd)
    port=$3
    if [ -e "$dir/broker.pid" ]; then
        echo "$dir is in use: tests/brokers.sh stop $dir" >&2
        exit 73
    fi
    rm -rf "${dir:?}"/*
    echo "$port" >"$dir/port"
    "make_$kind"
    chmod +x "$dir/run"
    launch
    echo "127.0.0.1:$port"
}

restart() {
    dir=$(cd "$1" && pwd)
    port=$(cat "$dir/port")
    end "$(cat "$dir/broker.pid")"
    launch
}

stop() {
    dir=$(cd "$1" && pwd)
    [ -e "$dir/broker.pid" ] || return 0
    end "$(cat "$dir/broker.pid")"
    rm -rf "$dir/broker.pid" "$dir/data" "$dir/instance"
}

# Its session, since a script may stand between its process and the broker.
end() {
    kill -- "-$1" 2>/dev/null || return 0
    waited=0
    while kill -0 -- "-$1" 2>/dev/null; do
        if [ "$waited" -ge 100 ]; then
            kill -KILL -- "-$1" 2>/dev/null || true
        fi
        waited=$((waited + 1))
        sleep 0.1
    done
}

case "${1-}" in
    start)
        [ $# -eq 4 ] || usage
        case "$2" in activemq | artemis) start "$2" "$3" "$4" ;; *) usage ;; esac
        ;;
    restart) [ $# -eq 2 ] || usage; restart "$2" ;;
    stop) [ $# -eq 2 ] || usage; stop "$2" ;;
    *) usage ;;
esac
