//! Real clusters and test doubles.
