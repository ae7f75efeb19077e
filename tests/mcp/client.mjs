// An MCP client over the official SDK: reads requests as JSON lines on stdin, prints what came of each as a JSON line.
//
//   node client.mjs <folder with node_modules> <options as JSON> <command> [arguments ...]
//
// Options: `version` ("legacy" or a revision to insist on) and `elicit`: what the client answers when it is asked, as an
// elicitation result; without it the client does not say that it can be asked.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, said, command, ...args] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const { Client } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

const options = JSON.parse(said);
const asked = [];
const client = new Client(
  { name: "kai-test", version: "1.0.0" },
  {
    capabilities: options.elicit ? { elicitation: { form: {} } } : {},
    versionNegotiation: { mode: options.version === "legacy" ? "legacy" : { pin: options.version } },
  },
);
if (options.elicit) {
  client.setRequestHandler("elicitation/create", async (request) => {
    asked.push(request.params);
    return options.elicit;
  });
}
const transport = new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" });
await client.connect(transport);
print({ ready: true, version: client.getNegotiatedProtocolVersion?.() ?? null, info: client.getServerVersion() ?? null });

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const progress = [];
  asked.length = 0;
  try {
    const result = request.list
      ? await client.listTools()
      : await client.callTool(
          { name: request.call, arguments: request.arguments ?? {} },
          // The SDK reports its own rounds through the same callback; those are not the server's.
          { onprogress: (p) => p.message?.startsWith("Fulfilling input") || progress.push(p), timeout: 240_000 },
        );
    print({ result, progress, asked });
  } catch (error) {
    print({ error: String(error), progress, asked });
  }
}
await client.close();

function print(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}
