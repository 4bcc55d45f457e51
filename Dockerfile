# The image of the one binary, `longshore`. Nothing here needs BuildKit: any builder will do.
#
# Both images must carry the same Debian release, because the binary links to its C library.
ARG RUST_IMAGE=rust:1-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim

# The manifests of all members, and for each crate root an empty one. No member is named here, so that a new one
# cannot be forgotten.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /sources
COPY . .
RUN mkdir /manifests \
    && find . \( -name Cargo.toml -o -name Cargo.lock \) -exec cp --parents -t /manifests {} + \
    && find . \( -path '*/src/lib.rs' -o -path '*/src/main.rs' -o -path '*/src/bin/*.rs' -o -path '*/fuzz_targets/*.rs' \
        -o -name build.rs \) -exec cp --parents -t /manifests {} + \
    && find /manifests -name '*.rs' -exec sh -c 'echo "fn main() { }" >"$1"' _ {} \;

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# The dependencies are a layer of their own, which only a changed manifest or lock file builds anew.
COPY --from=manifests /manifests .
RUN cargo build --locked --release -p longshore
COPY . .
# The sources may be older than what was built from the empty roots, and Cargo compares times.
RUN find . -name '*.rs' -exec touch {} + \
    && cargo build --locked --release -p longshore

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
