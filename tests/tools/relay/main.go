// Command relay joins two network namespaces: it listens in one and connects in another, and carries bytes
// between them. A socket belongs to the namespace in which it was made, so one process can hold both ends.
//
//	relay [-listen-in NETNS] [-dial-in NETNS] LISTEN DIAL
//
// LISTEN and DIAL are IP:PORT, NETNS is a file such as /proc/PID/ns/net; without one it is relay's own. It
// prints "ready IP:PORT" when it listens (port 0 takes a free one), and serves until it is killed.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

func main() {
	listenIn := flag.String("listen-in", "", "the network namespace to listen in")
	dialIn := flag.String("dial-in", "", "the network namespace to connect in")
	flag.Parse()
	if flag.NArg() != 2 {
		fail("usage: relay [-listen-in NETNS] [-dial-in NETNS] LISTEN DIAL")
	}
	there := enter(*listenIn)
	var listener net.Listener
	there(func() {
		var err error
		if listener, err = net.Listen("tcp", flag.Arg(0)); err != nil {
			fail(err)
		}
	})
	fmt.Println("ready", listener.Addr())
	beyond := enter(*dialIn)
	for {
		near, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go func() {
			defer near.Close()
			var far net.Conn
			beyond(func() { far, err = net.Dial("tcp", flag.Arg(1)) })
			if err != nil {
				fmt.Fprintln(os.Stderr, "relay:", err)
				return
			}
			carry(near.(*net.TCPConn), far.(*net.TCPConn))
		}()
	}
}

// enter returns what runs functions, one by one, on a thread in that namespace.
func enter(netns string) func(func()) {
	if netns == "" {
		return func(do func()) { do() }
	}
	file, err := os.Open(netns)
	if err != nil {
		fail(err)
	}
	type job struct {
		do   func()
		done chan struct{}
	}
	jobs := make(chan job)
	go func() {
		// Never unlocked: the thread is of no use to anything else.
		runtime.LockOSThread()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			fail(fmt.Errorf("enter %s: %w", netns, err))
		}
		for job := range jobs {
			job.do()
			close(job.done)
		}
	}()
	return func(do func()) {
		done := make(chan struct{})
		jobs <- job{do, done}
		<-done
	}
}

// carry copies both ways. The end of one direction is passed on, and leaves the other open.
func carry(near, far *net.TCPConn) {
	defer far.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		pass(near, far)
	}()
	pass(far, near)
	<-back
}

func pass(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		// A reset on one side becomes the end of both, never an orderly end of half a message.
		_ = to.SetLinger(0)
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite()
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, "relay:", why)
	os.Exit(1)
}
