//! storagectl and computectl as gRPC services.
