package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store"
)

// The names of the hidden rules, as the product has them.
const (
	fileRule = "TMCM_M_Suspicious file detection"
	urlRule  = "TMCM_M_Suspicious URL detection"
)

// objectsTable has every protocol list an object of each type and action, sends a mail with it in every place and depth, and holds what becomes
// of it against the guide's mapping (pages 13 to 16).
func objectsTable(ctx context.Context, e *env) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	cells, err := objectCells()
	if err != nil {
		return err
	}
	lines := map[string]*strings.Builder{}
	count := map[string]int64{}
	for _, c := range cells {
		for list, line := range c.listed {
			if lines[list] == nil {
				lines[list] = &strings.Builder{}
				if list == "file" {
					lines[list].WriteString("type,value,action,expires,note,exception,match\n")
				}
			}
			lines[list].WriteString(line + "\n")
			count[list]++
		}
	}
	s, servers, err := objectSite(ctx, e, lines)
	defer func() {
		for _, server := range servers {
			err = errors.Join(err, server.Stop())
		}
	}()
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	err = harness.Eventually(ctx, "all lists are synchronised", func() (bool, error) {
		lists, err := s.ObjectLists(ctx)
		for list, n := range count {
			if l := lists[listName(list, servers)]; l.Objects != n || l.Error != "" || l.Skipped != 0 {
				return false, err
			}
		}
		return true, err
	})
	if err != nil {
		lists, _ := s.ObjectLists(ctx)
		return fmt.Errorf("%w: %v, want %v", err, lists, count)
	}
	// What is in the store is in the gateway's memory within a tick.
	err = harness.Eventually(ctx, "the gateway has loaded them", func() (bool, error) {
		return strings.Count(s.Gateway.Log(), `"list loaded"`) >= len(count), nil
	})
	if err != nil {
		return err
	}
	client, err := s.Dial()
	if err != nil {
		return err
	}
	for _, c := range cells {
		reply, err := client.Send("alice@outside.example", []string{c.id + "@example.org"}, c.mail)
		if err != nil || !reply.Accepted() {
			return errors.Join(fmt.Errorf("send %s: %s", c.id, reply), err)
		}
	}
	if err := client.Close(); err != nil {
		return err
	}
	return judgeObjects(ctx, e, s, cells)
}

// objectCell is one mail, and what has to become of it.
type objectCell struct {
	id, place string
	listed    map[string]string // lines by list
	mail      []byte
	rule      string // of the event; "": none
	kept      bool
	attached  string // the violating attachment's end
}

// judgeObjects compares and prints.
func judgeObjects(ctx context.Context, e *env, s *harness.Site, cells []*objectCell) error {
	passed := 0
	for _, c := range cells {
		if !c.kept {
			passed++
		}
	}
	if err := s.Sink.Wait(ctx, func(m []harness.Mail) bool { return len(m) >= passed }); err != nil {
		e.printf("%v", err)
	}
	events, err := s.Events(ctx)
	if err != nil {
		return err
	}
	byID := map[string][]store.Event{}
	for i := range events {
		if !strings.HasPrefix(events[i].Rule, "Comes") {
			byID[events[i].Subject] = append(byID[events[i].Subject], events[i])
		}
	}
	arrived := map[string]int{}
	for _, m := range s.Sink.Mails() {
		arrived[strings.TrimSuffix(m.To[0], "@example.org")]++
	}
	wrong, byPlace := 0, map[string][2]int{}
	var order []string
	var example *store.Event
	for _, c := range cells {
		why := c.wrong(byID[c.id], arrived[c.id])
		n := byPlace[c.place]
		if n[0] == 0 {
			order = append(order, c.place)
		}
		n[0]++
		if why != "" {
			n[1]++
			wrong++
			if wrong <= 10 {
				e.printf("    %s: %s", c.id, why)
			}
		} else if c.kept && strings.Contains(c.attached, "/") && c.rule == fileRule {
			example = &byID[c.id][0]
		}
		byPlace[c.place] = n
	}
	for _, place := range order {
		e.printf("    %-28s %3d mails, %d otherwise than they should be", place, byPlace[place][0], byPlace[place][1])
	}
	if example != nil {
		e.printf("    a line of the log: %s | %s | %s | %s | %s | true file type %s | Message ID %s | Internal ID %s | %s", example.Rule, example.Action,
			strings.Join(example.Attachments, "; "), example.Reason, example.Subtype, example.TrueFileType, example.HeaderID, example.CopyID, example.Evidence)
	}
	e.printf("%d cells, %d wrong", len(cells), wrong)
	if wrong > 0 {
		return errShort
	}
	return nil
}

func (c *objectCell) wrong(events []store.Event, arrived int) string {
	if want := map[bool]int{false: 1}[c.kept]; arrived != want {
		return fmt.Sprintf("it arrived %d times, want %d", arrived, want)
	}
	if c.rule == "" {
		if len(events) > 0 {
			return fmt.Sprintf("the log has %q", events[0].Rule)
		}
		return ""
	}
	if len(events) != 1 {
		return fmt.Sprintf("the log has %d events", len(events))
	}
	ev, action, reason, subtype := &events[0], "Passed", "Suspicious Objects", "suspicious-objects"
	if c.kept {
		action = "Quarantined"
	}
	if c.rule == "Virus" {
		reason, subtype = "Virus", "virus-or-malicious-code"
	}
	if ev.Rule != c.rule || ev.Action != action || ev.Reason != reason || ev.Subtype != subtype {
		return fmt.Sprintf("the log has %q %q %q %q", ev.Rule, ev.Action, ev.Reason, ev.Subtype)
	}
	if !slices.ContainsFunc(ev.Attachments, func(a string) bool { return strings.HasSuffix(a, c.attached) }) && c.attached != "" {
		return fmt.Sprintf("the violating attachments are %q, want %q", ev.Attachments, c.attached)
	}
	return ""
}

// servedLists are the protocols with the action that their entries have; "" where each entry says its own.
func servedLists() map[string]string {
	return map[string]string{"control_manager": "", "taxii": "quarantine", "misp_feed": "block", "misp": "log", "file": ""}
}

func listName(list string, servers map[string]*harness.ObjectServers) string {
	if list == "control_manager" && servers[list] != nil {
		return strings.TrimPrefix(servers[list].URL, "https://")
	}
	return list
}

// objectSite is a site with a server for each protocol.
func objectSite(ctx context.Context, e *env, lines map[string]*strings.Builder) (*harness.Site, map[string]*harness.ObjectServers, error) {
	servers := map[string]*harness.ObjectServers{}
	file := filepath.Join(e.scratch, "list.csv")
	environment := []string{"OBJECTS_KEY=" + harness.ObjectsKey, "OBJECTS_FILE=" + file}
	for list := range servedLists() {
		text := ""
		if lines[list] != nil {
			text = lines[list].String()
		}
		if list == "file" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				return nil, servers, err
			}
			continue
		}
		scratch := filepath.Join(e.scratch, list)
		if err := os.Mkdir(scratch, 0o700); err != nil {
			return nil, servers, err
		}
		server, err := harness.StartObjectServers(ctx, e.bin, scratch, text, 0)
		if err != nil {
			return nil, servers, err
		}
		servers[list] = server
		path := map[string]string{"taxii": "/taxii2/", "misp_feed": "/feed/"}[list]
		environment = append(environment, "OBJECTS_URL_"+list+"="+server.URL+path, "OBJECTS_CA_"+list+"="+server.CAFile)
	}
	s, err := newSite(ctx, e, "objects.hcl")
	if err != nil {
		return nil, servers, err
	}
	s.Setup.Env = append(s.Setup.Env, environment...)
	rules, err := configs.ReadFile("config/objects.hcl")
	if err != nil {
		return nil, servers, err
	}
	// A label cannot be an expression.
	rules = bytes.ReplaceAll(rules, []byte("OBJECTS_CONTROL_MANAGER"), []byte(servers["control_manager"].URL))
	return s, servers, s.WriteConfig("rules/10.hcl", rules)
}
