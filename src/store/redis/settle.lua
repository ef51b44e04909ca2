-- Takes an effect out of its lane. ARGV: id.
return take_out(ARGV[1]) and 1 or 0
