// An MCP client over the official Go SDK: reads requests as JSON lines on stdin, prints what came of each as a JSON line.
//
//	client <options as JSON> <command> [arguments ...]
//
// The options and the lines are those of client.mjs.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type options struct {
	Version string            `json:"version"`
	Elicit  *mcp.ElicitResult `json:"elicit"`
}

type request struct {
	List      bool           `json:"list"`
	Call      string         `json:"call"`
	Arguments map[string]any `json:"arguments"`
}

type answer struct {
	Result   any    `json:"result,omitempty"`
	Error    string `json:"error,omitempty"`
	Progress []any  `json:"progress"`
	Asked    []any  `json:"asked"`
}

func main() {
	var said options
	must(json.Unmarshal([]byte(os.Args[1]), &said))
	var lock sync.Mutex
	var seen answer
	how := &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{},
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			lock.Lock()
			defer lock.Unlock()
			seen.Progress = append(seen.Progress, r.Params)
		},
	}
	if said.Elicit != nil {
		how.ElicitationHandler = func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			lock.Lock()
			defer lock.Unlock()
			seen.Asked = append(seen.Asked, r.Params)
			return said.Elicit, nil
		}
	}
	if said.Version == "legacy" {
		said.Version = "2025-11-25"
	}
	ctx := context.Background()
	server := exec.Command(os.Args[2], os.Args[3:]...)
	server.Stderr = os.Stderr
	client := mcp.NewClient(&mcp.Implementation{Name: "kai-test", Version: "1.0.0"}, how)
	session, err := client.Connect(ctx, &mcp.CommandTransport{Command: server}, &mcp.ClientSessionOptions{ProtocolVersion: said.Version})
	must(err)
	version := session.InitializeResult().ProtocolVersion
	print(map[string]any{"ready": version == said.Version, "version": version})

	lines := bufio.NewScanner(os.Stdin)
	for count := 0; lines.Scan(); count++ {
		var asked request
		must(json.Unmarshal(lines.Bytes(), &asked))
		lock.Lock()
		seen = answer{Progress: []any{}, Asked: []any{}}
		lock.Unlock()
		var result any
		if asked.List {
			result, err = session.ListTools(ctx, nil)
		} else {
			call := &mcp.CallToolParams{Name: asked.Call, Arguments: asked.Arguments}
			call.SetProgressToken(count)
			result, err = session.CallTool(ctx, call)
		}
		// Notifications are handled beside the call: those that arrived before its result are given their turn.
		time.Sleep(50 * time.Millisecond)
		lock.Lock()
		seen.Result = result
		if err != nil {
			seen.Error = err.Error()
		}
		print(seen)
		lock.Unlock()
	}
	must(session.Close())
}

func print(value any) {
	must(json.NewEncoder(os.Stdout).Encode(value))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
