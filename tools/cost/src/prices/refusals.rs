//! Every way in which a price file or a flag is refused, and the very words.

use super::*;

fn refused(text: &str) -> String {
    let error = Prices::embedded().with_file("p.toml", text, false).unwrap_err();
    // A line with a file's every error: that much is promised.
    assert!(error.line.is_some() && !error.reason.is_empty() && !error.advice.is_empty());
    error.to_string()
}

/// `lines` after a first line with the schema.
fn rest(lines: &str) -> String {
    refused(&format!("schema = 1\n{lines}"))
}

#[track_caller]
fn says(given: String, wanted: &str) {
    assert_eq!(given, wanted);
}

#[test]
fn schemas() {
    says(refused("[generic]\n"), "p.toml:1: schema is missing; begin the file with schema = 1");
    says(
        refused("schema = 2\nfuture = 1\n"),
        "p.toml:1: schema = 2 is newer than this kai, which reads 1; update kai, or write the file for schema = 1",
    );
    says(refused("schema = 0\n"), "p.toml:1: schema = 0 is not a schema; write schema = 1");
    says(
        refused("schema = \"1\"\n"),
        "p.toml:1: schema is text where a number is needed; write the number without quotes",
    );
    let broken = refused("schema = 1\n[generic\n");
    assert!(broken.starts_with("p.toml:2: is not TOML: ") && broken.ends_with("; mend the line"), "{broken}");
}

#[test]
fn keys() {
    says(
        rest("[generic]\ncpu_cor_hour = 0.02\n"),
        "p.toml:3: [generic] cpu_cor_hour is not a key that kai knows here; did you mean cpu_core_hour?",
    );
    says(rest("[genric]\n"), "p.toml:2: genric is not a key that kai knows here; did you mean generic?");
    says(
        rest("[[node]]\nmatch = { type = \"m5.large\" }\n"),
        "p.toml:3: [[node]] match type is not a key that kai knows here; \
         known here: name, labels, instance_type, region, capacity",
    );
    says(
        rest("[generic]\ncpu_core_month = 15.92203\n"),
        "p.toml:3: [generic] cpu_core_month has the wrong unit: kai reads cpu_core_hour; \
         write cpu_core_hour = 0.021811 (the month's price / 730)",
    );
    says(
        rest("[generic]\nstorage_gib_hour = 0.0001\n"),
        "p.toml:3: [generic] storage_gib_hour has the wrong unit: kai reads storage_gib_month; \
         write storage_gib_month = 0.073 (the hour's price x 730)",
    );
    says(
        rest("[generic]\ngpu_day = 12\n"),
        "p.toml:3: [generic] gpu_day has the wrong unit: kai reads gpu_hour; write gpu_hour = 0.5 (the day's price / 24)",
    );
    says(
        rest("[generic]\nlb_yearly = 219\n"),
        "p.toml:3: [generic] lb_yearly has the wrong unit: kai reads lb_hour; write lb_hour = 0.025 (the year's price / 8760)",
    );
    says(
        rest("[[node]]\nmatch = { name = \"a\" }\nmonthly = 73\n"),
        "p.toml:4: [[node]] monthly has the wrong unit: kai reads hourly; write hourly = 0.1 (the month's price / 730)",
    );
}

#[test]
fn numbers() {
    says(
        rest("[generic]\ncpu_core_hour = -0.02\n"),
        "p.toml:3: [generic] cpu_core_hour is negative: -0.02; write a number of 0 or more",
    );
    says(
        rest("[generic]\nmem_gib_hour = nan\n"),
        "p.toml:3: [generic] mem_gib_hour is NaN; write a number of 0 or more",
    );
    says(
        rest("[generic]\nmem_gib_hour = inf\n"),
        "p.toml:3: [generic] mem_gib_hour is inf; write a number of 0 or more",
    );
    says(
        rest("[generic]\nmem_gib_hour = \"0.003\"\n"),
        "p.toml:3: [generic] mem_gib_hour is text where a number is needed; write the number without quotes",
    );
    says(
        rest("[[node]]\nmatch = { name = \"a\" }\nhourly = 1460\n"),
        "p.toml:4: [[node]] hourly = 1460 looks like a month's price, not an hour's; \
         write 2 (the month's price / 730), or pass --force-price if it is right",
    );
    says(
        rest("[[node]]\nmatch = { instance_type = \"c6i.xlarge\" }\nhourly = 124.1\n"),
        "p.toml:4: [[node]] hourly = 124.1 is 730 times the AWS list price of 0.17; \
         write 0.17 (the month's price / 730), or pass --force-price if it is right",
    );
    says(
        rest("[[node]]\nmatch = { instance_type = \"D4s_v5\" }\nhourly = 0.000192\n"),
        "p.toml:4: [[node]] hourly = 0.000192 is less than a thirtieth of the Azure list price of 0.192; \
         check the unit, or pass --force-price if it is right",
    );
    says(
        rest("[generic]\nstorage_gib_month = 0.00005479452\n"),
        "p.toml:3: [generic] storage_gib_month = 0.0000547945 is less than a thirtieth of the generic rate of 0.04; \
         write 0.04 (the hour's price x 730), or pass --force-price if it is right",
    );
    says(
        rest("[cluster]\ndiscount_percent = 130\n"),
        "p.toml:3: [cluster] discount_percent = 130 is more than everything; write a number from 0 to 100",
    );
    says(
        rest("[spot_factor]\naws = [0.5, 0.4, 0.6]\n"),
        "p.toml:3: [spot_factor] aws is not in rising order; \
         write [lowest, usual, highest] between 0 and 1, such as [0.31, 0.41, 0.49]",
    );
    says(
        rest("[spot_factor]\naws = 0.4\n"),
        "p.toml:3: [spot_factor] aws is not a list of three numbers; \
         write [lowest, usual, highest] between 0 and 1, such as [0.31, 0.41, 0.49]",
    );
}

#[test]
fn currencies_and_dates() {
    let needs = "currency = \"EUR\" needs fx_to_usd and fx_date: kai counts in USD; \
                 add fx_to_usd = 1.09 and fx_date = \"2026-11-01\", or write the prices in USD";
    says(rest("currency = \"EUR\"\n"), &format!("p.toml:2: {}", needs));
    says(rest("currency = \"EUR\"\nfx_to_usd = 1.1\n"), &format!("p.toml:2: {needs}"));
    says(
        rest("currency = \"EUR\"\nfx_to_usd = 0\nfx_date = \"2026-11-01\"\n"),
        "p.toml:3: fx_to_usd = 0 is no exchange rate; write how many USD one EUR is",
    );
    says(
        rest("fx_to_usd = 1.1\n"),
        "p.toml:2: fx_to_usd stands beside currency = \"USD\"; name the currency that it is the rate of, or delete the line",
    );
    let date = "; write year-month-day, such as \"2026-11-01\"";
    says(rest("as_of = \"2026-02-30\"\n"), &format!("p.toml:2: as_of is no date: \"2026-02-30\"{date}"));
    says(rest("as_of = \"1.11.2026\"\n"), &format!("p.toml:2: as_of is no date: \"1.11.2026\"{date}"));
    // The limits hold in USD: 700 yen an hour are not 700 dollars.
    let yen = "schema = 1\ncurrency = \"JPY\"\nfx_to_usd = 0.0066\nfx_date = 2026-11-01\n\
               [[node]]\nmatch = { name = \"a\" }\nhourly = 1400\n";
    assert!(Prices::embedded().with_file("p.toml", yen, false).is_ok());
}

#[test]
fn entries() {
    says(
        rest("[[node]]\nmatch = {}\nhourly = 1\n"),
        "p.toml:3: [[node]] match is empty: every node has it; \
         name an instance_type, a name, labels or a region; prices for any machine go to [generic]",
    );
    says(
        rest("[[node]]\nmatch = { labels = {} }\nhourly = 1\n"),
        "p.toml:3: [[node]] match is empty: every node has it; \
         name an instance_type, a name, labels or a region; prices for any machine go to [generic]",
    );
    says(
        rest("[[node]]\nhourly = 1\n"),
        "p.toml:2: [[node]] match is missing; add match = { instance_type = \"...\" }, or name, labels, region",
    );
    says(
        rest(
            "[[node]]\nmatch = { name = \"a\" }\nhourly = 1\n[[node]]\nmatch = { name = \"a\" }\nhourly = 2\n",
        ),
        "p.toml:5: [[node]] match has the same match as line 2; keep one of the two",
    );
    says(
        rest("[[node]]\nmatch = { name = \"a\", capacity = \"cheap\" }\nhourly = 1\n"),
        "p.toml:3: [[node]] match capacity = \"cheap\" is not a capacity; write \"on-demand\" or \"spot\"",
    );
    says(
        rest("[[node]]\nmatch = { name = \"a\" }\ncpu_core_hour = 0.02\n"),
        "p.toml:2: [[node]] hourly needs either hourly, or both cpu_core_hour and mem_gib_hour; give one of the two",
    );
    says(
        rest("[node]\nmatch = { name = \"a\" }\n"),
        "p.toml:2: node is not a list of sections; begin each with [[node]]",
    );
    says(
        rest("[[storage_class]]\nname = \"a\"\n"),
        "p.toml:2: [[storage_class]] gib_month is missing; add gib_month = 0.08: USD for a GiB and a month",
    );
    says(
        rest("[[storage_class]]\nname = \"a\"\nprovisioner = \"b\"\ngib_month = 0.1\n"),
        "p.toml:2: [[storage_class]] name needs either the name of the class, or its provisioner (and type); give one of the two",
    );
    let twice = "[[storage_class]]\nname = \"a\"\ngib_month = 0.1\n";
    says(
        rest(&format!("{twice}{twice}")),
        "p.toml:5: [[storage_class]] name is there twice; keep one of the two",
    );
}

#[test]
fn force_takes_what_is_far_but_not_what_is_wrong() {
    let force = |text: &str| Prices::embedded().with_file("p.toml", &format!("schema = 1\n{text}"), true);
    assert!(force("[generic]\ncpu_core_hour = 24\n").is_ok());
    assert!(force("[[node]]\nmatch = { name = \"a\" }\nhourly = 1460\n").is_ok());
    assert!(force("[generic]\ncpu_core_hour = -1\n").is_err());
    assert!(force("[generic]\ncpu_core_month = 24\n").is_err());
    // What may be free is free without force; a core at 0 is a slip.
    assert!(Prices::embedded().with_file("p", "schema = 1\n[generic]\nlb_hour = 0\n", false).is_ok());
    assert!(Prices::embedded().with_file("p", "schema = 1\n[generic]\ncpu_core_hour = 0\n", false).is_err());
}

#[test]
fn flags() {
    let flag = |text: &str| Prices::embedded().with_flag(text, false).unwrap_err().to_string();
    let form = "; write cpu=0.03,memory=0.004 or c6i.xlarge=0.17";
    says(flag("0.17"), &format!("--price: 0.17 is not WHAT=USD{form}"));
    says(flag("=0.17"), &format!("--price: =0.17 names nothing{form}"));
    says(flag("cpu=x"), "--price: cpu = x is no price; write a number of 0 or more, in USD");
    says(flag("cpu=-1"), "--price: cpu = -1 is no price; write a number of 0 or more, in USD");
    says(flag("cpu=NaN"), "--price: cpu = NaN is no price; write a number of 0 or more, in USD");
    says(
        flag("cpu=24"),
        "--price: cpu = 24 is 1100 times the generic rate of 0.021811; \
         write 0.0328767 (the month's price / 730), or pass --force-price if it is right",
    );
    says(
        flag("c6i.xlarge=124.1"),
        "--price: c6i.xlarge = 124.1 is 730 times the AWS list price of 0.17; \
         write 0.17 (the month's price / 730), or pass --force-price if it is right",
    );
    says(flag("cpu=0.03,cpu=0.04"), "--price: cpu is given twice; give it once");
    says(flag("n1=1,n1=2"), "--price: n1 is given twice; give it once");
    says(flag("n1:cheap=1"), "--price: n1:cheap is no node or type; write TYPE, TYPE:spot or TYPE:on-demand");
    assert!(Prices::embedded().with_flag("c6i.xlarge=124.1", true).is_ok());
}
