# Three stages: the official client's files, the program, and a small image that runs it.
#   docker build -t sockgate .
#   docker run --read-only -p 3000:3000 -e SOCKGATE_BACKEND=http://app:8080/sockgate -e SOCKGATE_BACKEND_SECRET=whsec_… sockgate

# The files behind /socket.io/socket.io.js: third-party code, taken as it is published.
FROM node:22-bookworm-slim AS client
WORKDIR /client
RUN npm pack --silent socket.io-client@4.8.4 \
 && tar -xzf socket.io-client-4.8.4.tgz package/dist \
 && rm socket.io-client-4.8.4.tgz

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs LICENSE ./
COPY build ./build
COPY src ./src
COPY config ./config
COPY --from=client /client/package/dist /client
ENV SOCKGATE_CLIENT_DIR=/client
RUN cargo build --release --locked --bin sockgate

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/sockgate /usr/local/bin/sockgate
# Nothing is written but log lines on standard error: the root may be read-only.
USER 65532:65532
ENV SOCKGATE__ADMIN__LISTEN=0.0.0.0:3002
EXPOSE 3000 3001 3002
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["sockgate", "healthcheck"]
ENTRYPOINT ["sockgate"]
CMD ["serve"]
