package plugincatalog

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// maxSchemaDepth bounds the nesting of blocks, so that a description from outside cannot make work without end.
const maxSchemaDepth = 8

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// ValidName reports whether a plugin may have the name.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// ScanAttributes are the attributes of `scan` blocks that the core reads itself; no plugin's schema may have them.
func ScanAttributes() []string { return []string{"not", "analyze", "objects"} }

// Check says what is wrong with a description. It comes from a plugin, so nothing about it is taken for granted.
func Check(d *pluginv1.DescribeResponse) error {
	if d == nil {
		return errors.New("there is no description")
	}
	if !ValidName(d.GetName()) {
		return fmt.Errorf("the name %q is not of the form [a-z][a-z0-9_-]*", d.GetName())
	}
	if len(d.GetRoles()) == 0 {
		return errors.New("no role is described")
	}
	for _, role := range d.GetRoles() {
		if _, known := pluginv1.Role_name[int32(role)]; !known || role == pluginv1.Role_ROLE_UNSPECIFIED {
			return fmt.Errorf("role %d is not known", role)
		}
	}
	if err := checkSchema(d.GetConfig(), maxSchemaDepth); err != nil {
		return fmt.Errorf("schema of config: %w", err)
	}
	if err := checkSchema(d.GetScan(), maxSchemaDepth, ScanAttributes()...); err != nil {
		return fmt.Errorf("schema of scan: %w", err)
	}
	return checkActions(d.GetActions())
}

func checkActions(actions []*pluginv1.ActionDescription) error {
	seen := map[string]bool{}
	for _, a := range actions {
		if !hclsyntax.ValidIdentifier(a.GetName()) || seen[a.GetName()] {
			return fmt.Errorf("action %q has no valid name or is described twice", a.GetName())
		}
		seen[a.GetName()] = true
		if _, known := pluginv1.Effect_name[int32(a.GetEffect())]; !known || a.GetEffect() == pluginv1.Effect_EFFECT_UNSPECIFIED {
			return fmt.Errorf("action %q has the unknown effect %d", a.GetName(), a.GetEffect())
		}
		if err := checkSchema(a.GetConfig(), maxSchemaDepth); err != nil {
			return fmt.Errorf("schema of action %q: %w", a.GetName(), err)
		}
	}
	return nil
}

func checkSchema(schema *pluginv1.Schema, depth int, taken ...string) error {
	if depth == 0 {
		return fmt.Errorf("blocks are nested more than %d deep", maxSchemaDepth)
	}
	seen := map[string]bool{}
	for _, name := range taken {
		seen[name] = true
	}
	claim := func(name string) error {
		if !hclsyntax.ValidIdentifier(name) || seen[name] {
			return fmt.Errorf("%q is not a valid name, or is used twice or by the core", name)
		}
		seen[name] = true
		return nil
	}
	for _, a := range schema.GetAttributes() {
		if err := claim(a.GetName()); err != nil {
			return err
		}
		if err := checkAttribute(a); err != nil {
			return err
		}
	}
	for _, b := range schema.GetBlocks() {
		if err := claim(b.GetName()); err != nil {
			return err
		}
		inside := make([]string, 0, len(b.GetLabels()))
		for _, label := range b.GetLabels() {
			if !hclsyntax.ValidIdentifier(label) || slices.Contains(inside, label) {
				return fmt.Errorf("label %q of block %q is not a valid name, or is used twice", label, b.GetName())
			}
			inside = append(inside, label)
		}
		for _, name := range placeholder.FindAllString(b.GetEndpoint(), -1) {
			name = strings.Trim(name, "{}")
			known := func(a *pluginv1.Attribute) bool { return a.GetName() == name && !a.GetSensitive() }
			if !slices.Contains(inside, name) && !slices.ContainsFunc(b.GetBody().GetAttributes(), known) {
				return fmt.Errorf("the endpoint %q of block %q names no label or attribute", b.GetEndpoint(), b.GetName())
			}
		}
		if err := checkSchema(b.GetBody(), depth-1, inside...); err != nil {
			return fmt.Errorf("block %q: %w", b.GetName(), err)
		}
	}
	return nil
}

func checkAttribute(a *pluginv1.Attribute) error {
	if _, err := attributeType(a); err != nil {
		return err
	}
	if a.Min != nil && a.Max != nil && a.GetMin() > a.GetMax() {
		return fmt.Errorf("attribute %q has a minimum above its maximum", a.GetName())
	}
	if a.GetDefaultJson() != "" {
		if _, err := defaultValue(a); err != nil {
			return err
		}
	}
	return nil
}
