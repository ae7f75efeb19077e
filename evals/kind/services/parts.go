package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// todos keeps to-dos in memory.
func todos(mux *http.ServeMux) {
	var lock sync.Mutex
	todos := []string{"buy milk", "water the plants"}
	mux.HandleFunc("/api/todos", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		if r.Method == http.MethodPost {
			text, err := io.ReadAll(io.LimitReader(r.Body, 1000))
			if err != nil || len(text) == 0 {
				http.Error(w, "a to-do is some text", http.StatusBadRequest)
				return
			}
			todos = append(todos, string(text))
		}
		answer(w, map[string]any{"todos": todos})
	})
}

// page is a front that asks the backend for everything under /api/.
func page(mux *http.ServeMux) {
	client := http.Client{Timeout: 5 * time.Second}
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>To do</title><p>%s, version %s</p>\n", os.Args[1], version())
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		answer, err := client.Get(backend() + r.URL.Path)
		if err != nil {
			slog.Error("the backend does not answer: " + err.Error())
			http.Error(w, "the backend does not answer", http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	})
}

func backend() string {
	for _, name := range []string{"BACKEND_URL", "NEXT_PUBLIC_API_URL", "VITE_API_URL"} {
		if value := os.Getenv(name); value != "" {
			return strings.TrimSuffix(value, "/")
		}
	}
	return "http://todo-backend:8080"
}

// worker asks the backend again and again.
func worker() {
	every, err := time.ParseDuration(or("INTERVAL", "10s"))
	if err != nil {
		slog.Error("cannot start: INTERVAL: " + err.Error())
		os.Exit(1)
	}
	client := http.Client{Timeout: 5 * time.Second}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
	for {
		if answer, err := client.Get(backend() + "/api/todos"); err != nil {
			slog.Error("the backend does not answer: " + err.Error())
		} else {
			slog.Info("the backend says " + answer.Status)
			answer.Body.Close()
		}
		select {
		case <-told:
			return
		case <-time.After(every):
		}
	}
}

// about says who answers, on every path.
func about(mux *http.ServeMux) {
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"path": r.URL.Path})
	})
}

// answer writes JSON that says who it is from.
func answer(w http.ResponseWriter, fields map[string]any) {
	fields["service"], fields["version"] = os.Args[1], version()
	fields["pod"], _ = os.Hostname()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(fields)
}

// clickhouse answers over HTTP what its clients ask to see whether it is there.
func clickhouse(mux *http.ServeMux) {
	mux.HandleFunc("/ping", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Ok.") })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query().Get("query")
		if query == "" {
			body, _ := io.ReadAll(io.LimitReader(r.Body, 10_000))
			query = string(body)
		}
		switch strings.ToUpper(strings.Trim(query, "; \n")) {
		case "":
			fmt.Fprintln(w, "Ok.")
		case "SELECT 1":
			fmt.Fprintln(w, "1")
		case "SELECT VERSION()":
			fmt.Fprintln(w, version())
		case "SHOW DATABASES":
			fmt.Fprintln(w, strings.Join([]string{or("CLICKHOUSE_DB", "default"), "system"}, "\n"))
		default:
			http.Error(w, "this stand-in for ClickHouse answers SELECT 1, SELECT version() and SHOW DATABASES only", http.StatusNotImplemented)
		}
	})
}

// client is clickhouse-client.
func client(arguments []string) int {
	flags := flag.NewFlagSet("clickhouse-client", flag.ContinueOnError)
	query, host := "SELECT 1", "127.0.0.1"
	for _, name := range []string{"query", "q"} {
		flags.StringVar(&query, name, query, "what to ask")
	}
	for _, name := range []string{"host", "h"} {
		flags.StringVar(&host, name, host, "whom to ask")
	}
	if flags.Parse(arguments) != nil {
		return 2
	}
	answer, err := http.Get("http://" + host + ":8123/?query=" + url.QueryEscape(query))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 210
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		io.Copy(os.Stderr, answer.Body)
		return 1
	}
	io.Copy(os.Stdout, answer.Body)
	return 0
}
