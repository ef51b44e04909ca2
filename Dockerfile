# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# SQLite and ring bring C, which this image's gcc compiles. The caches outlive the layer, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/lockkeeper /usr/local/bin/lockkeeper

FROM debian:bookworm-slim
# ca-certificates: TLS uses the system's roots. tzdata: working hours are those of people's own time zones.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin lockkeeper \
    && install --directory --mode 0700 --owner lockkeeper --group lockkeeper /data
COPY --from=build /usr/local/bin/lockkeeper /usr/local/bin/lockkeeper
USER 10001:10001

# Mount the settings at /etc/lockkeeper.toml, and a volume at /data: the store must outlive the container.
ENV LOCKKEEPER_CONFIG=/etc/lockkeeper.toml \
    LOCKKEEPER_DATA=/data \
    LOCKKEEPER_LISTEN=0.0.0.0:8080
VOLUME /data
EXPOSE 8080

# The image has no curl; bash, which every Debian has, speaks enough HTTP to ask whether the process still turns.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["bash", "-c", "exec 3<>\"/dev/tcp/127.0.0.1/${LOCKKEEPER_LISTEN##*:}\" && printf 'GET /live HTTP/1.0\\r\\n\\r\\n' >&3 && read -r status <&3 && [[ $status == HTTP/1.?\\ 200* ]]"]

# Without a command it runs the bot; `docker run … check` looks at the settings.
ENTRYPOINT ["lockkeeper"]
