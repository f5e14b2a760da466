package netif

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestParseIP(t *testing.T) {
	static := func(prefix, gateway, device string, dns ...string) IP {
		ip := IP{Method: Static, Address: netip.MustParsePrefix(prefix), Device: device}
		if gateway != "" {
			ip.Gateway = netip.MustParseAddr(gateway)
		}
		for _, d := range dns {
			ip.Nameservers = append(ip.Nameservers, netip.MustParseAddr(d))
		}
		return ip
	}
	for _, c := range []struct {
		name, in string
		want     IP
		err      string
	}{
		{"DHCP", "dhcp", IP{Method: DHCP}, ""},
		{"on is DHCP", "on", IP{Method: DHCP}, ""},
		{"nothing in particular is DHCP", "", IP{Method: DHCP}, ""},
		{"no network", "none", IP{Method: Off}, ""},
		{"no network, in the long form", "::::::off", IP{Method: Off}, ""},
		{"DHCP on a link", ":::::eth1:dhcp", IP{Method: DHCP, Device: "eth1"}, ""},
		{"all of it", "10.0.2.20::10.0.2.2:255.255.255.0:camp7:psy0:none:10.0.2.3:1.1.1.1", static("10.0.2.20/24", "10.0.2.2", "psy0", "10.0.2.3", "1.1.1.1"), ""},
		{"a time server is passed over", "10.0.2.20:::::::::10.0.2.9", static("10.0.2.20/8", "", ""), ""},
		{"what a boot loader writes", "10.0.2.20:10.0.2.2:0.0.0.0:255.255.0.0", static("10.0.2.20/16", "", ""), ""},
		{"an address alone has its class's netmask", "192.168.7.2", static("192.168.7.2/24", "", ""), ""},
		{"an address, but DHCP is asked for", "10.0.2.20::::::dhcp", IP{Method: DHCP}, ""},
		{"a way nobody knows", "rarp", IP{}, `"rarp" is no way`},
		{"a word for an address", "ten:::::::", IP{}, `address "ten"`},
		{"an address that is none", "10.0.2.300", IP{}, `address "10.0.2.300"`},
		{"an IPv6 address in the way of the colons", "fe80::1", IP{}, `address "fe80"`},
		{"a multicast address", "224.0.0.1", IP{}, "no IPv4 address"},
		{"a netmask with a hole", "10.0.2.20:::255.0.255.0", IP{}, "netmask 255.0.255.0"},
		{"a netmask of nothing", "10.0.2.20:::0.0.0.0", IP{}, "netmask 0.0.0.0"},
		{"a gateway that is none", "10.0.2.20::gw", IP{}, `gateway "gw"`},
		{"a name server that is none", ":::::::dns", IP{}, `name server "dns"`},
		{"a device that cannot be", "10.0.2.20:::::eth0\nup:none", IP{}, "cannot name a link"},
		{"loopback", ":::::lo:dhcp", IP{}, "loopback"},
		{"too many fields", "::::::::::", IP{}, "11 fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseIP(c.in)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestTheInterfacesOfANodeThatHasNone(t *testing.T) {
	const lo = "auto lo\niface lo inet loopback\n"
	for _, c := range []struct{ name, ip, wired, want, resolv string }{
		{"DHCP on the first wired link", "dhcp", "eth0", lo + "\nauto eth0\niface eth0 inet dhcp\n\tudhcpc_opts -b\n", ""},
		{"DHCP on another link, with a name server", ":::::psy0:dhcp:1.1.1.1", "eth0", lo + "\nauto psy0\niface psy0 inet dhcp\n\tudhcpc_opts -b\n", "nameserver 1.1.1.1\n"},
		{"no wired link", "dhcp", "", lo, ""},
		{"none wanted", "none", "eth0", lo, ""},
		{"an address", "10.0.2.20::10.0.2.2:255.255.255.0:::none:10.0.2.3", "eth0",
			lo + "\nauto eth0\niface eth0 inet static\n\taddress 10.0.2.20\n\tnetmask 255.255.255.0\n\tgateway 10.0.2.2\n", "nameserver 10.0.2.3\n"},
		{"an address without a gateway", "10.0.2.20", "eth0", lo + "\nauto eth0\niface eth0 inet static\n\taddress 10.0.2.20\n\tnetmask 255.0.0.0\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ip, err := ParseIP(c.ip)
			if err != nil {
				t.Fatal(err)
			}
			if got := ip.Interfaces(c.wired); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := ip.ResolvConf(); got != c.resolv {
				t.Errorf("resolv.conf: got %q, want %q", got, c.resolv)
			}
		})
	}
	if got, dhcp := (IP{}).Interfaces("eth0"), (IP{Method: DHCP}).Interfaces("eth0"); got != dhcp {
		t.Errorf("without ip=: got %q, want %q", got, dhcp)
	}
}

func FuzzParseIP(f *testing.F) {
	for _, s := range []string{"dhcp", "none", "10.0.2.20::10.0.2.2:255.255.255.0:camp7:psy0:none:10.0.2.3:1.1.1.1", ":::::eth1:dhcp:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ip, err := ParseIP(s)
		if err != nil {
			return
		}
		if again, err := ParseIP(ip.String()); err != nil || !reflect.DeepEqual(again, ip) {
			t.Errorf("%q is %+v and renders as %q, which is %+v, %v", s, ip, ip, again, err)
		}
		if text := ip.Interfaces("eth0"); strings.Count(text, "\niface ") > 2 || strings.Contains(text, "\r") {
			t.Errorf("%q makes the interfaces %q", s, text)
		}
	})
}
