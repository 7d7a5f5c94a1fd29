// Command sandbox-simulator stands in for a sandbox: it speaks the web service of the analyzer appliance, CAPE's REST interface and
// Cuckoo3's, and gives the verdicts that a text file says. README.md tells how to use it by hand; tests steer it over its control port.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
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
	listen, control string
	plain           bool
	certificate     string
	verdicts        string
	key, token      string
	strict          bool
	skew            time.Duration
	notRegistered   int
	delay           time.Duration
	ahead           time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8443", "where the sandbox listens")
	flag.StringVar(&o.control, "control", "127.0.0.1:8444", "where the control endpoint listens; a loopback address")
	flag.BoolVar(&o.plain, "plain", false, "serve HTTP without TLS")
	flag.StringVar(&o.certificate, "certificate", "", "file to write the self-made certificate to")
	flag.StringVar(&o.verdicts, "verdicts", "", "file of verdicts, read again when it changes; without it every sample is harmless")
	flag.StringVar(&o.key, "key", "sandbox-key", "API key of the appliance's service")
	flag.StringVar(&o.token, "token", "sandbox-token", "token of CAPE's and Cuckoo3's service")
	flag.BoolVar(&o.strict, "strict", true, "accept only checksums over headers and body, and each challenge once")
	flag.DurationVar(&o.skew, "skew", 0, "refuse requests whose time differs by more; 0: never")
	flag.IntVar(&o.notRegistered, "not-registered", 423, "status that a client gets that has not registered")
	flag.DurationVar(&o.delay, "delay", 2*time.Second, "how long an analysis takes where its verdict does not say")
	flag.DurationVar(&o.ahead, "ahead", 0, "by how much the sandbox's clock is ahead")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "sandbox-simulator: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	now := func() time.Time { return time.Now().Add(o.ahead) }
	lab := newLab(now, &verdicts{path: o.verdicts, delay: o.delay})
	if _, err := lab.verdicts.entries(); err != nil {
		return err
	}
	s := &simulator{options: o, lab: lab, clients: map[string]bool{}, challenges: map[string]bool{}, counts: map[string]int{}}
	var config *tls.Config
	if !o.plain {
		certificate, err := selfMade(o.certificate)
		if err != nil {
			return err
		}
		config = &tls.Config{Certificates: []tls.Certificate{certificate}}
		fmt.Printf("fingerprint %x\n", sha256.Sum256(certificate.Certificate[0]))
	}
	s.door = &door{config: config, handler: s.sandbox()}
	address, err := s.door.open(o.listen)
	if err != nil {
		return err
	}
	fmt.Printf("sandbox %s\n", address)
	defer s.door.close()
	host, _, err := net.SplitHostPort(o.control)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("the control endpoint %q is not on a loopback address", o.control)
	}
	listener, err := net.Listen("tcp", o.control)
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	fmt.Printf("control http://%s/control/\n", listener.Addr())
	control := &http.Server{Handler: s.control(), ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = control.Serve(listener) })
	defer serving.Wait()
	<-ctx.Done()
	return control.Close()
}

// door is the sandbox's listener, which can be shut for a while.
type door struct {
	config  *tls.Config
	handler http.Handler

	mu      sync.Mutex
	address string
	server  *http.Server
	serving sync.WaitGroup
}

func (d *door) open(address string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server != nil {
		return d.address, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	d.address = listener.Addr().String()
	if d.config != nil {
		listener = tls.NewListener(listener, d.config)
	}
	server := &http.Server{Handler: d.handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(quiet{}, "", 0)}
	d.server = server
	d.serving.Go(func() { _ = server.Serve(listener) })
	return d.address, nil
}

// close refuses connections and cuts those that are open.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server == nil {
		return
	}
	_ = d.server.Close()
	d.serving.Wait()
	d.server = nil
}

// quiet swallows what net/http says of handshakes that clients break off, which tests of certificates do on purpose.
type quiet struct{}

func (quiet) Write(p []byte) (int, error) { return len(p), nil }

// selfMade makes a certificate for this machine and writes it to a file, where one is named.
func selfMade(path string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "sandbox-simulator"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2), net.IPv6loopback},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	if path != "" {
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o644); err != nil {
			return tls.Certificate{}, fmt.Errorf("write certificate: %w", err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, nil
}
