//! What tests need and production must not have: an embedded broker, faults, launchers.

pub mod launch;

pub mod proxy;
