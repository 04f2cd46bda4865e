package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// allowedBuiltins is what a policy may call. It is a list of what is allowed, not
// of what is not, so that a builtin which a new OPA brings is refused until
// somebody has judged it (TestEveryBuiltinIsJudged).
var allowedBuiltins = []string{
	"abs", "all", "and", "any", "array.concat", "array.flatten", "array.reverse", "array.slice",
	"assign", "base64.decode", "base64.encode", "base64.is_valid", "base64url.decode",
	"base64url.encode", "base64url.encode_no_pad", "bits.and", "bits.negate", "bits.or", "bits.rsh",
	"bits.xor", "cast_array", "cast_boolean", "cast_null", "cast_object", "cast_set", "cast_string",
	"ceil", "concat", "contains", "count", "crypto.hmac.equal", "crypto.hmac.md5", "crypto.hmac.sha1",
	"crypto.hmac.sha256", "crypto.hmac.sha512", "crypto.md5", "crypto.parse_private_keys",
	"crypto.sha1", "crypto.sha256", "crypto.x509.parse_certificate_request",
	"crypto.x509.parse_certificates", "crypto.x509.parse_keypair",
	"crypto.x509.parse_rsa_private_key", "div", "endswith", "eq", "equal", "floor", "format_int",
	"glob.match", "glob.quote_meta", "graph.reachable", "graphql.is_valid", "graphql.parse",
	"graphql.parse_and_verify", "graphql.parse_query", "graphql.parse_schema",
	"graphql.schema_is_valid", "gt", "gte", "hex.decode", "hex.encode", "indexof", "indexof_n",
	"internal.member_2", "internal.member_3", "internal.print", "internal.template_string",
	"internal.test_case", "intersection", "io.jwt.decode", "io.jwt.decode_verify",
	"io.jwt.verify_eddsa", "io.jwt.verify_es256", "io.jwt.verify_es384", "io.jwt.verify_es512",
	"io.jwt.verify_hs256", "io.jwt.verify_hs384", "io.jwt.verify_hs512", "io.jwt.verify_ps256",
	"io.jwt.verify_ps384", "io.jwt.verify_ps512", "io.jwt.verify_rs256", "io.jwt.verify_rs384",
	"io.jwt.verify_rs512", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set",
	"is_string", "json.filter", "json.is_valid", "json.marshal", "json.marshal_with_options",
	"json.patch", "json.remove", "json.unmarshal", "lower", "lt", "lte", "max", "min", "minus", "mul",
	"neq", "net.cidr_contains", "net.cidr_contains_matches", "net.cidr_expand", "net.cidr_intersects",
	"net.cidr_is_valid", "net.cidr_merge", "net.cidr_overlap", "numbers.range", "numbers.range_step",
	"object.filter", "object.get", "object.keys", "object.remove", "object.subset", "object.union",
	"object.union_n", "or", "plus", "print", "product", "re_match",
	"regex.find_all_string_submatch_n", "regex.find_n", "regex.globs_match", "regex.is_valid",
	"regex.match", "regex.replace", "regex.split", "regex.template_match", "rego.metadata.chain",
	"rego.metadata.rule", "rem", "replace", "round", "semver.compare",
	"semver.is_valid", "set_diff", "sort", "split", "sprintf", "startswith",
	"strings.any_prefix_match", "strings.any_suffix_match", "strings.count", "strings.replace_n",
	"strings.reverse", "strings.split_n", "substring", "sum", "time.add_date", "time.clock",
	"time.date", "time.diff", "time.format", "time.now_ns", "time.parse_duration_ns", "time.parse_ns",
	"time.parse_rfc3339_ns", "time.weekday", "to_number", "trace", "trim", "trim_left", "trim_prefix",
	"trim_right", "trim_space", "trim_suffix", "type_name", "union", "units.parse",
	"units.parse_bytes", "upper", "uri.is_valid", "uri.parse", "urlquery.decode",
	"urlquery.decode_object", "urlquery.encode", "urlquery.encode_object", "uuid.parse", "walk",
	"yaml.is_valid", "yaml.marshal", "yaml.unmarshal",
}

// deniedBuiltins says why a policy may not call a builtin. A decision must depend
// on its document, its time and the policy set alone, end by its deadline, and
// touch nothing. A policy set may allow some of these by name, at its own risk.
var deniedBuiltins = map[string]string{
	"bits.lsh":                                  "its cost grows with its argument, not its input, and it ignores the deadline",
	"graph.reachable_paths":                     "the number of paths grows exponentially, and it ignores the deadline",
	"strings.render_template":                   "nested ranges over its input multiply, and it ignores the deadline",
	"rego.parse_module":                         "its cost grows with the square of how deep its input nests, and it ignores the deadline",
	"http.send":                                 theNetwork,
	"net.lookup_ip_addr":                        theNetwork,
	"json.match_schema":                         "a $ref in the schema reads files of the host",
	"json.verify_schema":                        "a $ref in the schema reads files of the host",
	"opa.runtime":                               "it shows the environment of the engine",
	"rand.intn":                                 "it gives another answer each time",
	"uuid.rfc4122":                              "it gives another answer each time",
	"io.jwt.encode_sign":                        "its signatures are random, and a policy has no business signing",
	"io.jwt.encode_sign_raw":                    "its signatures are random, and a policy has no business signing",
	"providers.aws.sign_req":                    "a policy has no business signing requests",
	"crypto.x509.parse_and_verify_certificates": "it reads the clock of the host instead of the time of the evaluation",
	"crypto.x509.parse_and_verify_certificates_with_options": "it reads the clock of the host unless told a time",
}

const theNetwork = "it reaches the network"

// capabilitiesWith returns what policies may use: the allowed builtins, and the
// denied ones named in extra. A name that OPA does not have is an error.
func capabilitiesWith(extra []string) (*ast.Capabilities, error) {
	capabilities := ast.CapabilitiesForThisVersion()
	if !slices.ContainsFunc(extra, reachesNetwork) {
		capabilities.AllowNet = []string{} // empty means no host, nil means any
	}
	for _, name := range extra {
		known := slices.ContainsFunc(capabilities.Builtins, func(b *ast.Builtin) bool { return b.Name == name })
		if !known {
			return nil, fmt.Errorf("allow: OPA has no builtin %q", name)
		}
	}
	capabilities.Builtins = slices.DeleteFunc(capabilities.Builtins, func(b *ast.Builtin) bool {
		return !slices.Contains(allowedBuiltins, b.Name) && !slices.Contains(extra, b.Name)
	})
	return capabilities, nil
}

// reachesNetwork says whether whoever allows this builtin allows the network.
func reachesNetwork(builtin string) bool {
	return deniedBuiltins[builtin] == theNetwork
}

// explainDenied completes the compiler's bare "undefined function" with the reason.
func explainDenied(message string) string {
	name, isUndefined := strings.CutPrefix(message, "undefined function ")
	reason, isDenied := deniedBuiltins[name]
	if !isUndefined || !isDenied {
		return message
	}
	return fmt.Sprintf("function %s is not allowed: %s", name, reason)
}
