//! Kubernetes tools.
