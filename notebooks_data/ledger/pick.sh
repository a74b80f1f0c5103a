#!/usr/bin/env bash
# One number out of a CSV file, for the commands of docs/ledger.md.
#
#     pick.sh [-r REDUCE] [-o A/B] [-l EXPRESSION] EXPRESSION CONDITION FILE.csv
#
# EXPRESSION and CONDITION are awk's; a column is its name behind a $, as in '$time_us / 1000' and '$head_dim == 128'.
# REDUCE says what is made of several rows: median (if nothing is said), least, most, mean, geomean, sum.
# -o A/B compares two kernels (or peers, or algorithms) of the file: on each shape that both have, the median of A's rows
# over the median of B's; REDUCE then is geomean, if nothing is said, of these ratios.
# -l takes one row alone: the one in which its EXPRESSION is least.
# A comma within quotes becomes a semicolon, and the quotes go: "fp16, standard" is $method == "fp16; standard".
# FILE may be <(a command), as in <(build/tilewise io --csv -).
#
# Prints the number. Exit status: 0, or 2 if no row fits.
set -euo pipefail

refuse() {
    echo "pick.sh: $*" >&2
    exit 2
}

reduce='' over='' least=''
while getopts 'r:o:l:' option; do
    case $option in
    r) reduce=$OPTARG ;;
    o) over=$OPTARG ;;
    l) least=$OPTARG ;;
    *) refuse "usage: pick.sh [-r REDUCE] [-o A/B] [-l EXPRESSION] EXPRESSION CONDITION FILE.csv" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 3 ] || refuse "there are $# words, it takes EXPRESSION CONDITION FILE.csv"
reduce=${reduce:-$([ -n "$over" ] && echo geomean || echo median)}
[[ $reduce =~ ^(median|least|most|mean|geomean|sum)$ ]] ||
    refuse "-r is '$reduce', it must be median, least, most, mean, geomean or sum"
[[ -z $over || $over == ?*/?* ]] || refuse "-o is '$over', it must be two names, as in fa2/fa3"

# The header is read here, so that $column is the field of that number; awk goes on behind it.
exec < "$3"
header='#'
while [[ $header == \#* ]]; do IFS= read -r header || refuse "$3 has no rows"; done
IFS=, read -ra names <<< "$header"
columns=()
for i in "${!names[@]}"; do columns+=(-v "${names[$i]}=$((i + 1))"); done

awk -F, "${columns[@]}" -v _reduce="$reduce" -v _over="$over" -v _takes_least="${least:+1}" '
    function _field(_column) { return _column ? $_column : "" }
    function _who() { return _field(kernel) != "" ? $kernel : _field(peer) != "" ? $peer : $algorithm }
    function _shape() {
        return _field(batch) " " _field(num_heads) " " _field(num_heads_kv) " " _field(seqlen_q) " " _field(seqlen_k) " " \
            _field(head_dim) " " _field(causal) " " _field(b) " " _field(h) " " _field(sq) " " _field(sk) " " _field(d)
    }
    function _unquote(    _head, _quoted) {
        while (match($0, /"[^"]*"/)) {
            _head = substr($0, 1, RSTART - 1)
            _quoted = substr($0, RSTART + 1, RLENGTH - 2)
            gsub(/,/, ";", _quoted)
            $0 = _head _quoted substr($0, RSTART + RLENGTH)
        }
    }
    function _add(_list, _value) { _values[_list, ++_count[_list]] = _value }
    function _median(_list,    _n, _i, _j, _x) {
        _n = _count[_list]
        for (_i = 2; _i <= _n; _i++) {
            _x = _values[_list, _i]
            for (_j = _i - 1; _j > 0 && _values[_list, _j] > _x; _j--)
                _values[_list, _j + 1] = _values[_list, _j]
            _values[_list, _j + 1] = _x
        }
        return (_values[_list, int((_n + 1) / 2)] + _values[_list, int(_n / 2) + 1]) / 2
    }
    function _reduced(_list,    _n, _i, _x, _sum, _logs, _least, _most) {
        _n = _count[_list]
        for (_i = 1; _i <= _n; _i++) {
            _x = _values[_list, _i]
            _sum += _x
            _logs += _x > 0 ? log(_x) : 0
            _least = _i == 1 || _x < _least ? _x : _least
            _most = _i == 1 || _x > _most ? _x : _most
        }
        return _reduce == "sum" ? _sum : _reduce == "mean" ? _sum / _n : _reduce == "geomean" ? exp(_logs / _n) : \
            _reduce == "least" ? _least : _reduce == "most" ? _most : _median(_list)
    }
    BEGIN { split(_over, _two, "/") }
    /^#/ { next }
    { _unquote() }
    !('"$2"') { next }
    _takes_least {
        _rank = '"${least:-0}"'
        if (_rows++ == 0 || _rank < _smallest) {
            _smallest = _rank
            _count["all"] = 0
            _add("all", '"$1"')
        }
        next
    }
    _over == "" { _add("all", '"$1"'); next }
    _who() == _two[1] || _who() == _two[2] { _add(_who() " on " _shape(), '"$1"'); _shapes[_shape()] = 1 }
    END {
        for (_s in _shapes)
            if (_count[_two[1] " on " _s] > 0 && _count[_two[2] " on " _s] > 0)
                _add("all", _median(_two[1] " on " _s) / _median(_two[2] " on " _s))
        if (_count["all"] == 0)
            exit 3
        printf "%.9g\n", _reduced("all")
    }' || refuse "no row of $3 fits"
