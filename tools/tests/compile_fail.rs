//! What must not compile: the ways around the gate.

#[test]
fn there_is_no_way_around_the_gate() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
