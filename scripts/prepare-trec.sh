#!/bin/sh
# The TREC questions by their six coarse classes, as Brew reads them: train.tsv, dev.tsv and test.tsv in TARGET, each
# line text<TAB>label in UTF-8. dev.tsv is the last 500 questions of TREC.train, train.tsv the others.
#
#   scripts/prepare-trec.sh SOURCE TARGET      SOURCE: the folder with TREC.train and TREC.test
set -eu
[ $# -eq 2 ] || { echo "usage: $0 SOURCE TARGET" >&2; exit 2; }
source=$1
target=$2

# `DESC:manner How did …` in ISO-8859-1 to `How did …<TAB>DESC`.
convert() {
    iconv -f ISO-8859-1 -t UTF-8 "$1" | awk '{
        split($1, label, ":")
        print substr($0, length($1) + 2) "\t" label[1]
    }'
}

mkdir -p "$target"
convert "$source/TREC.train" > "$target/all.tsv"
convert "$source/TREC.test" > "$target/test.tsv"
count=$(wc -l < "$target/all.tsv")
[ "$count" -gt 500 ] || { echo "$source/TREC.train has $count questions, not 5,452" >&2; exit 1; }
head -n $((count - 500)) "$target/all.tsv" > "$target/train.tsv"
tail -n 500 "$target/all.tsv" > "$target/dev.tsv"
rm "$target/all.tsv"
