//! OpenCost's price files, as price files of kai.
