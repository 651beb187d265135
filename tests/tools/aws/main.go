// Command aws is the test AWS: S3, STS and as much of IAM and KMS as the operator meets, in one process
// on 127.0.0.1. Bytes are kept by versitygw; who may do what is decided here.
//
//	aws -dir DIR [-cert FILE -key FILE]
//
// DIR/data/BUCKET/KEY are the objects. Once all listens, DIR/addresses has the URLs as shell variables,
// and DIR/admin.sock answers the administrator (package admin).
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"outbound.dev/tests/tools/aws/internal/admin"
	"outbound.dev/tests/tools/aws/internal/cloud"
	"outbound.dev/tests/tools/aws/internal/s3"
	"outbound.dev/tests/tools/aws/internal/sigv4"
	"outbound.dev/tests/tools/aws/internal/sts"
)

// maxConnections is more than any test opens.
const maxConnections = 1024

// maxParts is S3's own limit.
const maxParts = 10_000

func main() {
	dir := flag.String("dir", "", "an existing folder for all files and sockets")
	cert := flag.String("cert", "", "with -key: serve over TLS as well")
	key := flag.String("key", "", "the certificate's key")
	flag.Parse()
	if *dir == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	log.Fatal(run(*dir, *cert, *key))
}

// run serves until something fails.
func run(dir, cert, key string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	failed := make(chan error, 4)
	gateway, err := startGateway(filepath.Join(dir, "data"), failed)
	if err != nil {
		return err
	}
	state := cloud.New()
	storage := &s3.Server{Cloud: state, Gateway: gateway}
	tokens := &sts.Server{Cloud: state}
	services := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if isSTS(request) {
			tokens.ServeHTTP(writer, request)
		} else {
			storage.ServeHTTP(writer, request)
		}
	})

	serve := func(network, address string, config *tls.Config, handler http.Handler) (string, error) {
		listener, err := net.Listen(network, address)
		if err != nil {
			return "", err
		}
		server := &http.Server{Handler: handler, TLSConfig: config, ReadHeaderTimeout: time.Minute}
		go func() {
			if config == nil {
				failed <- server.Serve(listener)
			} else {
				failed <- server.ServeTLS(listener, "", "")
			}
		}()
		return listener.Addr().String(), nil
	}
	plain, err := serve("tcp", "127.0.0.1:0", nil, services)
	if err != nil {
		return err
	}
	addresses := fmt.Sprintf("AWS_URL=http://%s\n", plain)
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		secure, err := serve("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}}, services)
		if err != nil {
			return err
		}
		addresses += fmt.Sprintf("AWS_TLS_URL=https://%s\n", secure)
	}
	if _, err := serve("unix", above+"admin.sock", nil, admin.New(state, storage)); err != nil {
		return err
	}
	if err := publish(dir, "addresses", addresses); err != nil {
		return err
	}
	return <-failed
}

// isSTS: one port serves both, and a client signs for the service that it means. S3 has no POST on "/".
func isSTS(request *http.Request) bool {
	signature, err := sigv4.Parse(request)
	if err != nil {
		return request.Method == http.MethodPost && request.URL.Path == "/"
	}
	return signature.Service == "sts"
}

// above is DIR for sockets, whose paths may have 107 bytes only: the gateway makes DIR/data the process's
// working folder.
const above = "../"

// startGateway runs the server that keeps the bytes, on a socket of its own, and waits until it listens.
func startGateway(data string, failed chan<- error) (s3.Gateway, error) {
	const socket = above + "gateway.sock"
	random := make([]byte, 20)
	_, _ = rand.Read(random)
	gateway := s3.Gateway{AccessKeyID: "gateway", Secret: hex.EncodeToString(random)}
	if err := os.Mkdir(data, 0o700); err != nil {
		return gateway, err
	}
	store, err := posix.New(data, meta.XattrMeta{}, posix.PosixOpts{})
	if err != nil {
		return gateway, err
	}
	config := &embedgw.Config{
		RootUserAccess: gateway.AccessKeyID, RootUserSecret: gateway.Secret,
		Ports: []string{socket}, KeepAlive: true, Quiet: true,
		MaxConnections: maxConnections, MaxRequests: maxConnections, MultipartMaxParts: maxParts,
	}
	go func() {
		err := embedgw.RunVersityGW(context.Background(), store, config)
		failed <- errors.Join(errors.New("the gateway ended"), err)
	}()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}
	gateway.Transport = &http.Transport{DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: maxConnections}
	for range 1500 {
		connection, err := dial(context.Background(), "", "")
		if err == nil {
			return gateway, connection.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return gateway, errors.New("the gateway doesn't listen within 30 s")
}

// publish writes a file that is there in full or not at all.
func publish(dir, name, text string) error {
	draft := filepath.Join(dir, "."+name)
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, filepath.Join(dir, name))
}
