# The action's image. GitHub's runner builds it on the instance for a `uses:` of a branch or a commit.
# Nothing here needs BuildKit: instances with the legacy builder build it too.

FROM rust:1.95.0-alpine3.23 AS build
WORKDIR /build

# The dependencies alone, around an empty program: a change in src does not come past this layer.
# rust-toolchain.toml stays outside: it would make rustup fetch what the image has no use for.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked --target "$(uname -m)-unknown-linux-musl"

# A checkout can be older than the empty program, and Cargo goes by the files' times.
COPY src src
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked --target "$(uname -m)-unknown-linux-musl" \
    && mv "target/$(uname -m)-unknown-linux-musl/release/ecs-task-role" /ecs-task-role

# Root, as GitHub asks of container actions: the runner's files belong to whomever the runner runs as.
FROM scratch
LABEL org.opencontainers.image.title="ecs-task-role" \
      org.opencontainers.image.description="Hands the ECS task role of a self-hosted runner to later docker steps" \
      org.opencontainers.image.source="https://github.com/org/ecs-task-role" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /ecs-task-role /ecs-task-role
ENTRYPOINT ["/ecs-task-role"]
