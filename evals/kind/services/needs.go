package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	patience = 2 * time.Second
	// sharedMemory is what browsers want at /dev/shm; a container has 64 MiB by itself.
	sharedMemory = 128 << 20
)

// reach asks the server that a variable names whether it is there. A database outside the cluster is
// taken on trust: where this runs, there is no Internet.
func reach(name string) error {
	address, err := url.Parse(os.Getenv(name))
	if err != nil || address.Scheme == "" {
		return fmt.Errorf("%s is not an address", name)
	}
	kind, port := address.Scheme, address.Port()
	switch address.Scheme {
	case "memory":
		return nil
	case "postgres", "postgresql":
		if outside(address.Hostname()) {
			return nil
		}
		kind, port = "postgresql", otherwise(port, "5432")
	case "redis":
		port = otherwise(port, "6379")
	case "http":
		kind, port = "http server", otherwise(port, "80")
	default:
		return fmt.Errorf("%s: %s:// is not known here", name, address.Scheme)
	}
	at := net.JoinHostPort(address.Hostname(), port)
	if err := ask(address.Scheme, at); err != nil {
		return fmt.Errorf("no %s at %s (%s): %w", kind, at, name, err)
	}
	return nil
}

func ask(scheme, at string) error {
	if scheme == "http" {
		client := http.Client{Timeout: patience}
		answer, err := client.Get("http://" + at + "/ping")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("/ping answers %s", answer.Status)
		}
		return nil
	}
	conn, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if scheme != "redis" {
		return nil
	}
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	answer := make([]byte, 100)
	read, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if said := strings.TrimSpace(string(answer[:read])); said != "+PONG" {
		return fmt.Errorf("it says %q", said)
	}
	return nil
}

// outside tells a name of the Internet from one of the cluster or of this pod.
func outside(host string) bool {
	address := net.ParseIP(host)
	if address != nil {
		return !address.IsPrivate() && !address.IsLoopback()
	}
	return strings.Contains(host, ".") && !strings.Contains(host+".", ".svc.")
}

// browsers checks what a browser needs of its container.
func browsers() error {
	if os.Getenv("ENABLE_SANDBOX") != "false" {
		return fmt.Errorf("a browser's sandbox needs rights that a container does not have: set ENABLE_SANDBOX=false")
	}
	var size syscall.Statfs_t
	if err := syscall.Statfs("/dev/shm", &size); err != nil {
		return fmt.Errorf("there is no shared memory at /dev/shm: %w", err)
	}
	if has := size.Blocks * uint64(size.Bsize); has < sharedMemory {
		return fmt.Errorf("browsers need %d MiB of shared memory and /dev/shm has %d MiB: mount an emptyDir of medium Memory there", sharedMemory>>20, has>>20)
	}
	return writable("/dev/shm")
}

func otherwise(value, fallback string) string {
	if value != "" {
		return value
	}
	return fallback
}
