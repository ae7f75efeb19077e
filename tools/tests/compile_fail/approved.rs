//! Only a preview makes an approval.
use kai_tools::review::{Approved, Channel, Preview};

fn forge(preview: Preview) -> Approved {
    Approved { preview, channel: Channel::Terminal }
}

fn main() {}
