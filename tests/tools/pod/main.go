// Command pod is all that the node's own image holds: what keeps a pod's namespaces open, and what a test's
// pod does.
//
//	pod pause                waits for TERM or INT
//	pod dial HOST:PORT...    connects to each, and fails at the first that can't be reached
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience covers a lost packet or two; an address that nobody has isn't refused but silent.
const patience = 5 * time.Second

func main() {
	if len(os.Args) < 2 {
		fail("usage: pod pause | pod dial HOST:PORT...")
	}
	switch os.Args[1] {
	case "pause":
		pause()
	case "dial":
		for _, address := range os.Args[2:] {
			connection, err := net.DialTimeout("tcp", address, patience)
			if err != nil {
				fail(err)
			}
			connection.Close()
			fmt.Println("reached", address)
		}
	default:
		fail("no command " + os.Args[1])
	}
}

// pause is the first process of its pod: it also waits for those whose parents are gone.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, "pod:", why)
	os.Exit(1)
}
