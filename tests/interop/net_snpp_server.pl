# A paging terminal made of Net::SNPP::Server: perl net_snpp_server.pl PORT (0: any; the first line says which).
# Prints a line for each page that it takes: pager|pin|text|subject|hold|choices. One client after the other.
use strict; use warnings; use Net::SNPP::Server;
$| = 1;
$SIG{PIPE} = 'IGNORE';
my $server = Net::SNPP::Server->new(Port => $ARGV[0]);
$server->callback('write_log', sub { });
$server->callback('process_page', sub {
    my ($pager, $page, $results) = @_;
    my $text = $page->{mess}; $text =~ s/([^ -~])/sprintf('\\x%02x', ord $1)/ge;
    my $choices = join(',', map { "$_=$page->{responses}{$_}" } sort keys %{$page->{responses} || {}});
    print join('|', $pager->[0], $pager->[1], $text, $page->{subj} || '', $page->{hold} || '', $choices), "\n";
    return 1;
});
my ($port) = Socket::unpack_sockaddr_in(getsockname($server->socket()));
print "$port\n";
while (1) {
    my $client = $server->client();
    $server->handle_client($client);
}
