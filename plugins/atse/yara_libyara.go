//go:build yara

package main

/*
#cgo pkg-config: yara
#include <stdlib.h>
#include <string.h>
#include <yara.h>

// said is what the compiler told first.
struct said {
	int line;
	char text[512];
};

static void on_message(int level, const char *file, int line, const YR_RULE *rule, const char *text, void *data) {
	struct said *said = data;
	if (level == YARA_ERROR_LEVEL_ERROR && said->text[0] == 0) {
		said->line = line;
		strncpy(said->text, text, sizeof said->text - 1);
	}
}

// hit is the first rule that matched.
struct hit {
	char rule[256];
	char string[256];
	long long at;
};

static int on_match(YR_SCAN_CONTEXT *context, int message, void *message_data, void *data) {
	if (message != CALLBACK_MSG_RULE_MATCHING) {
		return CALLBACK_CONTINUE;
	}
	YR_RULE *rule = message_data;
	YR_STRING *string;
	YR_MATCH *match;
	struct hit *hit = data;
	strncpy(hit->rule, rule->identifier, sizeof hit->rule - 1);
	hit->at = -1;
	yr_rule_strings_foreach(rule, string) {
		yr_string_matches_foreach(context, string, match) {
			if (hit->at < 0) {
				strncpy(hit->string, string->identifier, sizeof hit->string - 1);
				hit->at = match->base + match->offset;
			}
		}
	}
	return CALLBACK_ABORT;
}

static int compile(const char *text, YR_RULES **rules, struct said *said) {
	YR_COMPILER *compiler;
	int failed = yr_compiler_create(&compiler);
	if (failed != ERROR_SUCCESS) {
		return failed;
	}
	yr_compiler_set_callback(compiler, on_message, said);
	yr_compiler_set_include_callback(compiler, NULL, NULL, NULL);
	yr_compiler_define_string_variable(compiler, "filename", "");
	yr_compiler_define_string_variable(compiler, "extension", "");
	if (yr_compiler_add_string(compiler, text, NULL) > 0) {
		failed = ERROR_SYNTAX_ERROR;
	} else {
		failed = yr_compiler_get_rules(compiler, rules);
	}
	yr_compiler_destroy(compiler);
	return failed;
}

static int scan(YR_RULES *rules, const void *data, size_t size, const char *filename, const char *extension, int seconds, struct hit *hit) {
	YR_SCANNER *scanner;
	int failed = yr_scanner_create(rules, &scanner);
	if (failed != ERROR_SUCCESS) {
		return failed;
	}
	yr_scanner_define_string_variable(scanner, "filename", filename);
	yr_scanner_define_string_variable(scanner, "extension", extension);
	// Its own handlers of signals would take the place of Go's.
	yr_scanner_set_flags(scanner, SCAN_FLAGS_NO_TRYCATCH | SCAN_FLAGS_REPORT_RULES_MATCHING);
	yr_scanner_set_timeout(scanner, seconds);
	yr_scanner_set_callback(scanner, on_match, hit);
	failed = yr_scanner_scan_mem(scanner, data, size);
	yr_scanner_destroy(scanner);
	return failed;
}

static unsigned count(YR_RULES *rules) {
	YR_RULE *rule;
	unsigned n = 0;
	yr_rules_foreach(rules, rule) { n++; }
	return n;
}
*/
import "C"

import (
	"fmt"
	"os"
	"path"
	"runtime"
	"sync"
	"unsafe"

	"github.com/postern-mail/postern/sdk/scanner"
)

// begin makes libyara ready, once in the process, as it asks for.
var begin = sync.OnceValue(func() error {
	if code := C.yr_initialize(); code != C.ERROR_SUCCESS {
		return fmt.Errorf("start libyara: error %d", code)
	}
	return nil
})

// yaraRules are the rules of one file. They are freed with the last call that uses them.
type yaraRules struct {
	rules *C.YR_RULES
	file  string
}

// loadYARA compiles a file of rules. Other files are not included: each is loaded for itself.
func loadYARA(file string) (ruleSet, error) {
	if err := begin(); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text := C.CString(string(content))
	defer C.free(unsafe.Pointer(text))
	y := &yaraRules{file: path.Base(file)}
	var said C.struct_said
	if code := C.compile(text, &y.rules, &said); code != C.ERROR_SUCCESS {
		if said.text[0] != 0 {
			return nil, fmt.Errorf("%s:%d: %s", file, said.line, C.GoString(&said.text[0]))
		}
		return nil, fmt.Errorf("%s: libyara gives error %d", file, code)
	}
	runtime.AddCleanup(y, func(rules *C.YR_RULES) { C.yr_rules_destroy(rules) }, y.rules)
	return y, nil
}

func (y *yaraRules) count() int { return int(C.count(y.rules)) }

// match looks with all rules; the first that matches and is not private counts.
func (y *yaraRules) match(part *scanner.Part) (name, evidence string, err error) {
	data, err := beginning(part, maxContent)
	if err != nil || len(data) == 0 {
		return "", "", err
	}
	filename := C.CString(path.Base(part.Name()))
	defer C.free(unsafe.Pointer(filename))
	extension := C.CString(path.Ext(part.Name()))
	defer C.free(unsafe.Pointer(extension))
	var hit C.struct_hit
	code := C.scan(y.rules, unsafe.Pointer(&data[0]), C.size_t(len(data)), filename, extension, C.int(yaraPatience.Seconds()), &hit)
	runtime.KeepAlive(y)
	switch {
	case code == C.ERROR_SCAN_TIMEOUT:
		return "", "", fmt.Errorf("%s: %w", y.file, errSlowRules)
	case code != C.ERROR_SUCCESS:
		return "", "", fmt.Errorf("look with %s: libyara gives error %d", y.file, code)
	case hit.rule[0] == 0:
		return "", "", nil
	}
	evidence = "rule of " + y.file
	if hit.at >= 0 {
		evidence += fmt.Sprintf(", %s at %d", C.GoString(&hit.string[0]), int64(hit.at))
	}
	return "YARA." + C.GoString(&hit.rule[0]), evidence, nil
}
