// Command object-servers stands in for the servers that lists of suspicious objects are fetched from: Control Manager's automation API, a
// TAXII 2.1 server, a MISP feed and a MISP server. All serve one list, which a file or the control port gives. README.md tells how to use it.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

type options struct {
	listen, control  string
	authorities      string
	objects          string
	generate         int
	application, key string
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8453", "where the lists are served, by HTTPS")
	flag.StringVar(&o.control, "control", "127.0.0.1:8454", "where the control endpoint listens; a loopback address")
	flag.StringVar(&o.authorities, "ca", "", "file to write the self-made authority to, for ca_file")
	flag.StringVar(&o.objects, "objects", "", "CSV file of the list: type, value, action, expires, note")
	flag.IntVar(&o.generate, "generate", 0, "adds so many made-up digests to the list")
	flag.StringVar(&o.application, "application", "app", "application id of the automation API")
	flag.StringVar(&o.key, "key", "objects-key", "key of all services")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "object-servers: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	l := &list{now: time.Now}
	if o.objects != "" {
		text, err := os.ReadFile(o.objects)
		if err != nil {
			return fmt.Errorf("read list: %w", err)
		}
		if err := l.replace(text); err != nil {
			return err
		}
	}
	l.generate(o.generate)
	s := &server{options: o, list: l, faults: map[string]string{}, counts: map[string]int{}}
	good, expired, err := s.certificates()
	if err != nil {
		return err
	}
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if s.fault("") == "expired" {
			return expired, nil
		}
		return good, nil
	}}
	lists, err := tls.Listen("tcp", o.listen, config)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Printf("lists https://%s\n", lists.Addr())
	host, _, err := net.SplitHostPort(o.control)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("the control endpoint %q is not on a loopback address", o.control)
	}
	control, err := net.Listen("tcp", o.control)
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	fmt.Printf("control http://%s/control/\n", control.Addr())
	quiet := log.New(io.Discard, "", 0) // of handshakes that clients break off, which tests do on purpose
	fetched := &http.Server{Handler: s.lists(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}
	steered := &http.Server{Handler: s.control(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}
	var open sync.Map
	fetched.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			open.Delete(c)
		} else {
			open.Store(c, nil)
		}
	}
	s.hangUp = func() {
		for c := range open.Range {
			_ = c.(net.Conn).Close() // whoever it is notices
		}
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = fetched.Serve(lists) })
	serving.Go(func() { _ = steered.Serve(control) })
	<-ctx.Done()
	err = errors.Join(fetched.Close(), steered.Close())
	serving.Wait()
	return err
}

// certificates makes an authority and two certificates of it, one of which has expired.
func (s *server) certificates() (good, expired *tls.Certificate, err error) {
	now := time.Now()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "object-servers"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	if s.authorities != "" {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
		if err := os.WriteFile(s.authorities, text, 0o644); err != nil {
			return nil, nil, fmt.Errorf("write authority: %w", err)
		}
	}
	leaf := func(serial int64, until time.Time) (*tls.Certificate, error) {
		own := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "object-servers"}, NotBefore: now.Add(-47 * time.Hour), NotAfter: until,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"},
		}
		raw, err := x509.CreateCertificate(rand.Reader, own, authority, key.Public(), key)
		if err != nil {
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, nil
	}
	if good, err = leaf(2, now.AddDate(1, 0, 0)); err != nil {
		return nil, nil, err
	}
	expired, err = leaf(3, now.Add(-24*time.Hour))
	return good, expired, err
}
