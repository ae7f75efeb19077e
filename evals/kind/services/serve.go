package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	requests atomic.Int64
	started  = time.Now()
	// asked are the paths of probes and scrapers, which fill no log.
	asked = map[string]bool{"/health": true, "/healthz": true, "/ready": true, "/metrics": true, "/ping": true}
)

// serve answers on every port until told to end.
func (s service) serve(name string) {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("/health", ok)
	mux.HandleFunc("/healthz", ok)
	mux.HandleFunc("/ready", s.ready())
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { metrics(w, name) })
	mux.HandleFunc("/busy", busy)
	s.routes(mux)

	ports := s.ports
	if port := os.Getenv("PORT"); port != "" {
		ports = []string{port}
	}
	server := &http.Server{Handler: logged(mux), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, len(ports))
	for _, port := range ports {
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			slog.Error("cannot start: " + err.Error())
			os.Exit(1)
		}
		go func() { failed <- server.Serve(listener) }()
	}
	slog.Info("listening on " + strings.Join(ports, ", "))
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
	select {
	case err := <-failed:
		slog.Error(err.Error())
		os.Exit(1)
	case signal := <-told:
		slog.Info("told to end", "signal", signal.String())
		ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		server.Shutdown(ctx)
	}
}

// ready answers whether all that the service depends on answers, and logs when that changes.
func (s service) ready() http.HandlerFunc {
	var before atomic.Value
	before.Store("")
	return func(w http.ResponseWriter, _ *http.Request) {
		why := ""
		if os.Getenv("FAULT") == "unready" {
			why = "not ready: the ingest queue is not migrated (build " + version() + ")"
		}
		for _, name := range s.reach {
			if err := reach(name); err != nil {
				why = "not ready: " + err.Error()
			}
		}
		if before.Swap(why) != why {
			if why == "" {
				slog.Info("ready")
			} else {
				slog.Error(why)
			}
		}
		if why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	}
}

// metrics is what Prometheus reads.
func metrics(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(w, "# TYPE service_info gauge\nservice_info{service=%q,version=%q} 1\n", name, version())
	fmt.Fprintf(w, "# TYPE http_requests_total counter\nhttp_requests_total{service=%q} %d\n", name, requests.Load())
	fmt.Fprintf(w, "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %d\n", started.Unix())
}

// busy keeps a processor busy for a while, a minute at most, so that an autoscaler has something to see.
func busy(w http.ResponseWriter, r *http.Request) {
	span, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil || span > time.Minute {
		http.Error(w, "say for how long, such as /busy?for=10s, a minute at most", http.StatusBadRequest)
		return
	}
	until := time.Now().Add(span)
	for time.Now().Before(until) && r.Context().Err() == nil {
	}
	fmt.Fprintln(w, "done")
}

// logged counts every request, and writes a line for those that are not a probe's.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if !asked[r.URL.Path] && !strings.HasPrefix(r.UserAgent(), "kube-probe") {
			slog.Info(r.Method+" "+r.URL.Path, "from", r.RemoteAddr)
		}
		next.ServeHTTP(w, r)
	})
}
