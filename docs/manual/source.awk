# For Doxygen: the comment at the top of a source file says what the file teaches, so it documents the file. The rest is
# shown as it is, by SOURCE_BROWSER.
NR == 1 {
    name = FILENAME
    sub(/^.*\//, "", name)
    sub(/^\/\*\*?/, "/** @file " name "\n *")
}
{
    gsub(/et al\. /, "et al.\\ ") # the dot does not end the first sentence
    print
}
/\*\// { exit }
