module logmill/examples/charge

go 1.19
