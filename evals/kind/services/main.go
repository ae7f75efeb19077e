// Command service stands behind the images of small systems: to-do applications, Mycorrhizae and
// santaclaude. Which one it is, is its first argument. It serves on that service's port, writes nothing
// but where its service says, needs no user and no file system, and ends with the reason when something
// is missing: a variable, a folder to write to, or a server that it depends on.
//
//	/health /healthz  it runs               /ready    it can serve: what it depends on answers
//	/metrics          for Prometheus        /busy     ?for=10s keeps one processor busy
//
// PORT replaces the ports, VERSION is what it says it is, LOG_FORMAT=json writes JSON lines, and FAULT
// (crash, unready) makes it the bad build that somebody rolls back.
package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// service is what one of them is.
type service struct {
	// ports are all served alike.
	ports []string
	// set names the variables without which it ends.
	set []string
	// reach names the variables with the address of a server that has to answer. One that is not set
	// is not asked.
	reach []string
	// write names the folders that it writes to.
	write []string
	// check looks at anything else that it needs.
	check func() error
	// routes adds what it answers, besides the above.
	routes func(*http.ServeMux)
	// runs is there for one that does not serve.
	runs func()
}

var services = map[string]service{
	"todo-backend":          {ports: []string{"8000", "8080"}, set: []string{"DATABASE_URL"}, reach: []string{"DATABASE_URL"}, routes: todos},
	"todo-frontend":         {ports: []string{"3000", "8080"}, routes: page},
	"todo-frontend-web":     {ports: []string{"3000"}, set: []string{"BETTER_AUTH_SECRET"}, routes: page},
	"todo-frontend-chatbot": {ports: []string{"3001"}, routes: page},
	"todo-worker":           {runs: worker},

	"mycorrhiza-frontend":       {ports: []string{"3000"}, routes: about},
	"mycorrhiza-backend-server": {ports: []string{"4041"}, routes: about},
	"mycorrhiza-backend-ingest": {ports: []string{"4042"}, routes: about},

	"ai-service": {
		ports: []string{"8001"}, set: []string{"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "REDIS_URL"},
		reach: []string{"REDIS_URL"}, write: []string{"/app/data"}, routes: about,
	},
	"browser-pool-service": {
		ports: []string{"8002"}, set: []string{"REDIS_URL"}, reach: []string{"REDIS_URL"}, check: browsers, routes: about,
	},
	"audit-sink-service": {
		ports: []string{"8003"}, set: []string{"REDIS_URL", "CLICKHOUSE_URL"}, reach: []string{"REDIS_URL", "CLICKHOUSE_URL"}, routes: about,
	},
	"message-queue-service": {ports: []string{"8004"}, set: []string{"REDIS_URL"}, reach: []string{"REDIS_URL"}, routes: about},

	"clickhouse": {ports: []string{"8123", "9000"}, write: []string{"/var/lib/clickhouse"}, routes: clickhouse},
}

func main() {
	if filepath.Base(os.Args[0]) == "clickhouse-client" {
		os.Exit(client(os.Args[1:]))
	}
	if len(os.Args) < 2 || services[os.Args[1]].idle() {
		fmt.Fprintln(os.Stderr, "usage: service NAME")
		os.Exit(2)
	}
	if os.Getenv("LOG_FORMAT") == "json" {
		slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	}
	s := services[os.Args[1]]
	slog.Info("starting "+os.Args[1], "version", version())
	if err := s.start(); err != nil {
		slog.Error("cannot start: " + err.Error())
		os.Exit(1)
	}
	if s.runs != nil {
		s.runs()
		return
	}
	s.serve(os.Args[1])
}

func (s service) idle() bool { return s.ports == nil && s.runs == nil }

// start checks all that the service needs, and waits a few seconds for the servers that it depends on.
func (s service) start() error {
	var missing []string
	for _, name := range s.set {
		if os.Getenv(name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s not set", list(missing))
	}
	for _, folder := range s.write {
		if err := writable(folder); err != nil {
			return err
		}
	}
	if s.check != nil {
		if err := s.check(); err != nil {
			return err
		}
	}
	for _, name := range s.reach {
		if err := wait(name); err != nil {
			return err
		}
	}
	if os.Getenv("FAULT") == "crash" {
		return fmt.Errorf("migration 0042 failed: column \"spore_id\" does not exist (build %s)", version())
	}
	return nil
}

// wait asks a server until it answers, five times at most.
func wait(name string) (err error) {
	for try := 1; try <= 5; try++ {
		if err = reach(name); err == nil {
			return nil
		}
		slog.Warn("waiting: "+err.Error(), "try", try)
		time.Sleep(time.Second)
	}
	return err
}

func writable(folder string) error {
	file, err := os.CreateTemp(folder, ".writable-")
	if err != nil {
		return fmt.Errorf("cannot write to %s as user %d: %w", folder, os.Getuid(), err)
	}
	file.Close()
	return os.Remove(file.Name())
}

func list(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, " and ") + " are"
}

func version() string { return or("VERSION", "latest") }

func or(variable, otherwise string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return otherwise
}
