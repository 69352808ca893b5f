#!/bin/sh
# The routing core decides and does nothing else: no clock, no chance, no I/O, no allocation. What its
# library takes from outside must be in this list. Usage: test_route_symbols.sh libroute.a
set -eu
export LC_ALL=C
nm=${NM:-nm}

allowed='
memcpy memmove memset memcmp bcmp strcmp strlen sqrt
__stack_chk_fail _GLOBAL_OFFSET_TABLE_
check_failed arena_take_n diag_set
str_hash mix64
api_surfaces pool_active pool_round_trip_us serving_context serving_surfaces value_curve_cost
civil_of civil_us
service_of prefix_cache_of service_is_beyond service_prefill_of service_prefill_us service_step_us service_more_watts
typical_hour typical_of_week week_hour planned_share
contract_commits commitment_of commitment_slots commitment_is_spread commitment_units_per_us
'
# What the compiler's own checkers and counters add.
instruments='^(__asan_|__ubsan_|__tsan_|__sanitizer_|__gcov_|__llvm_|__profc_|__profd_|__start_|__stop_)'

# Names on stdin that may not be there.
unexpected()
{
    tr -s ' \n' '\n' | grep -v '^$' | sort -u | grep -Ev "$instruments" >"$tmp/found" || true
    printf '%s' "$allowed" | tr -s ' \n' '\n' | grep -v '^$' | sort -u >"$tmp/allowed"
    comm -23 "$tmp/found" "$tmp/allowed"
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for bad in time clock_gettime gettimeofday malloc free printf fopen socket rand getenv; do
    if [ -z "$(echo "memcpy $bad" | unexpected)" ]; then
        echo "FAIL this test would not notice $bad"
        exit 1
    fi
done
echo "ok   it_would_notice_a_clock"

"$nm" -g "$1" | awk 'NF == 3 { print $3 }' | sort -u >"$tmp/own"
"$nm" -u "$1" | awk '$1 == "U" || $1 == "w" { print $2 }' | sort -u | comm -23 - "$tmp/own" >"$tmp/outside"
[ -s "$tmp/outside" ] || { echo "FAIL no symbols in $1"; exit 1; }
found=$(unexpected <"$tmp/outside")
if [ -n "$found" ]; then
    echo "FAIL the_core_uses_only_what_is_listed: unexpected in $1:" $found
    printf '1 passed, 1 failed\n'
    exit 1
fi
# Nothing that changes between calls: no writable data of its own. Tables of pointers are in
# .data.rel.ro, which is read-only once loaded. Instrumented builds add counters.
data=$(size -A "$1" | awk '($1 ~ /^\.(data|bss|tdata|tbss)/) && $1 !~ /^\.data\.rel\.ro/ && $2 > 0 { print $1, $2 }')
if [ -n "$data" ] && ! grep -Eq "$instruments" "$tmp/outside"; then
    echo "FAIL the_core_has_no_globals_that_change:" $data
    printf '2 passed, 1 failed\n'
    exit 1
fi
echo "ok   the_core_uses_only_what_is_listed"
echo "ok   the_core_has_no_globals_that_change"
echo "3 passed, 0 failed"
