# The image of the one binary, `longshore`. Nothing here needs BuildKit: any builder will do.
#
# Both images must carry the same Debian release, because the binary links to its C library.
ARG RUST_IMAGE=rust:1-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /build

# The dependencies are a layer of their own, which only a changed manifest or lock file rebuilds. Cargo
# wants every member of the workspace to be there, `tests` as well, so each begins as an empty one.
COPY Cargo.toml Cargo.lock ./
COPY common/Cargo.toml common/
COPY scanner/Cargo.toml scanner/
COPY worker/Cargo.toml worker/
COPY cli/Cargo.toml cli/
COPY tests/Cargo.toml tests/
# What was built from the empty ones goes at once: the real sources may be older than it, and Cargo,
# which compares times, would take it for them.
RUN for member in common scanner worker tests; do mkdir $member/src && touch $member/src/lib.rs; done \
    && mkdir cli/src && echo 'fn main() {}' >cli/src/main.rs \
    && cargo build --locked --release -p longshore \
    && cargo clean --locked --release \
        -p longshore-common -p longshore-scanner -p longshore-worker -p longshore

# `common` takes the migrations in when it is compiled.
COPY migrations migrations
COPY common common
COPY scanner scanner
COPY worker worker
COPY cli cli
RUN cargo build --locked --release -p longshore

FROM ${DEBIAN_IMAGE}
# The authorities for postgres://…?sslmode=verify-full, amqps:// and https://, which the slim image lacks.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# A fixed number, so that files on a host or a volume can be made readable to it.
RUN groupadd --gid 10001 longshore \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin longshore
COPY --from=build /build/target/release/longshore /usr/local/bin/
# As a number, because an orchestrator that forbids root cannot tell from a name.
USER 10001:10001
ENTRYPOINT ["longshore"]
CMD ["--help"]
