//! A cluster of NATS servers.
