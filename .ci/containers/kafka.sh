#!/bin/bash
# Stands in for the image apache/kafka where it cannot be pulled: KAFKA_LOG_DIRS=x is log.dirs=x, as there.
set -euo pipefail
env | sed -n 's/^KAFKA_//p' | while IFS='=' read -r name value; do
    name=${name,,}
    echo "${name//_/.}=$value"
done >/tmp/server.properties
kafka() { exec /opt/java/bin/java -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '/opt/kafka/libs/*' "$@"; }
(kafka kafka.tools.StorageTool format --ignore-formatted -t dm9sdmVyZS10ZXN0cy0wMA -c /tmp/server.properties)
kafka kafka.Kafka /tmp/server.properties
