// Command workload is what stands behind small images: the process that holds a pod together, and a
// to-do application of three parts that serve, ask each other and say what they do.
//
//	workload pause
//	workload backend    PORT (8080), BACKEND_VERSION; /healthz, /api/todos
//	workload frontend   PORT (8080), BACKEND_URL (http://todo-backend:8080); /healthz, /, /api/...
//	workload worker     INTERVAL (10s), BACKEND_URL
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	part := "pause"
	if len(os.Args) > 1 {
		part = os.Args[1]
	}
	switch part {
	case "pause":
		pause()
	case "backend":
		serve(backend())
	case "frontend":
		serve(frontend())
	case "worker":
		worker()
	default:
		fmt.Fprintln(os.Stderr, "usage: workload {pause|backend|frontend|worker}")
		os.Exit(2)
	}
}

// pause waits to be told to end, and collects processes that lost their parent meanwhile.
func pause() {
	told := make(chan os.Signal, 4)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for {
		if <-told != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func or(variable, otherwise string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return otherwise
}

// serve answers on PORT until told to end.
func serve(mux *http.ServeMux) {
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	address := ":" + or("PORT", "8080")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		log.Printf("told to end (%v)", <-ended)
		os.Exit(0)
	}()
	log.Printf("listening on %s", address)
	log.Fatal(http.ListenAndServe(address, logged(mux)))
}

// logged writes a line for every request but those of probes.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			log.Printf("%s %s from %s", r.Method, r.URL.Path, r.RemoteAddr)
		}
		next.ServeHTTP(w, r)
	})
}

// backend keeps to-dos in memory.
func backend() *http.ServeMux {
	var lock sync.Mutex
	todos := []string{"buy milk", "water the plants"}
	mux := http.NewServeMux()
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
		host, _ := os.Hostname()
		answer := map[string]any{"version": or("BACKEND_VERSION", "v1"), "pod": host, "todos": todos}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer)
	})
	return mux
}

// frontend shows what the backend answers.
func frontend() *http.ServeMux {
	backend := or("BACKEND_URL", "http://todo-backend:8080")
	client := http.Client{Timeout: 5 * time.Second}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if path == "/" {
			path = "/api/todos"
		}
		answer, err := client.Get(backend + path)
		if err != nil {
			log.Printf("ERROR backend does not answer: %v", err)
			http.Error(w, "the backend does not answer", http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	})
	return mux
}

// worker asks the backend again and again.
func worker() {
	every, err := time.ParseDuration(or("INTERVAL", "10s"))
	if err != nil {
		log.Fatalf("INTERVAL: %v", err)
	}
	backend := or("BACKEND_URL", "http://todo-backend:8080")
	client := http.Client{Timeout: 5 * time.Second}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	for {
		if answer, err := client.Get(backend + "/api/todos"); err != nil {
			log.Printf("ERROR backend does not answer: %v", err)
		} else {
			log.Printf("backend says %s", answer.Status)
			answer.Body.Close()
		}
		select {
		case <-ended:
			return
		case <-time.After(every):
		}
	}
}
