//! Only the review makes a licence to write.
fn forge() -> kai_tools::review::Licence {
    kai_tools::review::Licence(())
}

fn main() {}
