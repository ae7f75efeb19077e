//! What things cost, on a real cluster: the worked examples with real objects, and what is said where a price is not known.

mod limits;
mod nodes;
mod oracle;
mod prices;
mod rights;
mod seeds;
mod site;
