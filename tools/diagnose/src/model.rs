//! The objects of a cluster as far as the causes need them: structs with few fields, in which everything else of the
//! API server's answer is skipped while it is decoded. `null` and absent are the same.

mod network;
mod node;
mod parts;
mod pod;
mod policy;
mod storage;
mod workload;

pub use network::*;
pub use node::*;
pub use parts::*;
pub use pod::*;
pub use policy::*;
pub use storage::*;
pub use workload::*;

use serde::{Deserialize, Deserializer};

/// Reads a value, or its default where the text says `null`.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Structs whose fields all have a default, and to which `null` is that default.
macro_rules! skinny {
    ($($(#[$about:meta])* pub struct $name:ident { $($(#[$more:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name {
            $($(#[$more])* #[serde(deserialize_with = "crate::model::or_default")] pub $field: $type,)*
        }
    )*};
}
pub(crate) use skinny;
