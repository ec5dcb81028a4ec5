"""Networks of any modules, cut into subnetworks: gsADMM and gsAM."""
